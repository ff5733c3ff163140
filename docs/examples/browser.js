import * as tus from "tus-js-client";

document.querySelector("input[type=file]").addEventListener("change", async (event) => {
  const file = event.target.files[0];
  const upload = new tus.Upload(file, {
    endpoint: "http://127.0.0.1:8000/files/",
    retryDelays: [0, 1000, 3000, 5000, 10000, 30000],
    metadata: { filename: file.name, filetype: file.type },
    onProgress: (sent, total) => (document.title = `${Math.floor((sent / total) * 100)} %`),
    onSuccess: () => (document.title = upload.url),
  });
  // The same file, chosen again after a reload or the next day, goes on where it was.
  const previous = await upload.findPreviousUploads();
  if (previous.length) upload.resumeFromPreviousUpload(previous[0]);
  upload.start();
});
