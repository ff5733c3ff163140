# Rows first, files second: whatever the rows name is still there when the files are copied.
mysqldump --single-transaction --host="$MYSQL_HOST" --port="$MYSQL_PORT" --user="$MYSQL_USER" \
  "$MYSQL_DATABASE" > tusfm.sql
