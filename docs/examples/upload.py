import os

from tusclient import client

server = os.environ.get("SERVER", "http://127.0.0.1:8000")
with open("film.mp4", "rb") as film:
    uploader = client.TusClient(f"{server}/files/").uploader(
        file_stream=film,
        chunk_size=50_000_000,  # one request, and so much memory
        metadata={"filename": "film.mp4", "filetype": "video/mp4"},
        retries=5,
        retry_delay=3,
    )
    uploader.upload()
print(uploader.url)
