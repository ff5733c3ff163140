import fs from "node:fs";
import * as tus from "tus-js-client";

const server = process.env.SERVER ?? "http://127.0.0.1:8000";
const upload = new tus.Upload(fs.createReadStream("film.mp4"), {
  endpoint: `${server}/files/`,
  retryDelays: [0, 1000, 3000, 5000, 10000, 30000],
  metadata: { filename: "film.mp4", filetype: "video/mp4" },
  onError: (error) => console.error(`The upload failed: ${error.message}`),
  onProgress: (sent, total) => console.log(`${((sent / total) * 100).toFixed(1)} %`),
  onSuccess: () => console.log(upload.url),
});
upload.start();
