import os

from tusclient import client

server = os.environ.get("SERVER", "http://127.0.0.1:8000")
with open("film.mp4", "rb") as film:
    uploader = client.TusClient(f"{server}/files/").uploader(
        file_stream=film,
        chunk_size=50_000_000,  # what is sent again at most when a connection breaks
        metadata={"filename": "film.mp4", "filetype": "video/mp4"},
        retries=5,
        retry_delay=3,
    )
    uploader.upload()
print(uploader.url)
