# With all servers and workers stopped, and the files back in their bucket:
mysql="mysql --host=$MYSQL_HOST --port=$MYSQL_PORT --user=$MYSQL_USER"
$mysql --execute="DROP DATABASE IF EXISTS $MYSQL_DATABASE; CREATE DATABASE $MYSQL_DATABASE"
$mysql "$MYSQL_DATABASE" < tusfm.sql

# Uploads that were under way when the backup was made may be finished files by now: none of them may expire.
$mysql "$MYSQL_DATABASE" --execute="UPDATE uploads SET expires_at = NULL"
tusfm migrate

# What was finished since the backup: the files are there, and the database does not know it.
tusfm sweep --orphans > finished-since.txt
