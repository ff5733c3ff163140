server="${SERVER:-http://127.0.0.1:8000}"
[ -e film.mp4 ] || head -c 3000000 /dev/urandom > film.mp4
size=$(wc -c < film.mp4)

# Create an upload of so many bytes; its URL is in the answer's Location.
url=$(curl -si -X POST "$server/files/" -H "Tus-Resumable: 1.0.0" \
  -H "Upload-Length: $size" \
  -H "Upload-Metadata: filename $(printf film.mp4 | base64)" |
  sed -n 's/\r$//; s/^Location: //p')

# Send the first half.
head -c $((size / 2)) film.mp4 | curl -s -X PATCH "$url" \
  -H "Tus-Resumable: 1.0.0" -H "Upload-Offset: 0" \
  -H "Content-Type: application/offset+octet-stream" --data-binary @-

# Ask how much has arrived, and send the rest.
offset=$(curl -sI "$url" -H "Tus-Resumable: 1.0.0" |
  sed -n 's/\r$//; s/^Upload-Offset: //p')
echo "$offset bytes have arrived"
tail -c +$((offset + 1)) film.mp4 | curl -s -X PATCH "$url" \
  -H "Tus-Resumable: 1.0.0" -H "Upload-Offset: $offset" \
  -H "Content-Type: application/offset+octet-stream" --data-binary @-

# Fetch the file.
curl -s -o copy.mp4 "$url"
cmp film.mp4 copy.mp4 && echo "both files are the same"
