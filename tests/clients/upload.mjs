// Uploads a file with tus-js-client as a test tells it: node upload.mjs '{"endpoint": …, "file": …, …}'
// It prints a JSON line for each thing that happens; "pause" milliseconds after the start it pauses, and resumes;
// before each request it waits for "pace" milliseconds.

import fs from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const told = JSON.parse(process.argv[2]);
const say = (what, more = {}) => console.log(JSON.stringify({ what, ...more }));

// A deferred length is for streams whose end nobody knows: a file's own stream would tell its size.
const file = fs.createReadStream(told.file);
const source = told.deferred ? file.pipe(new PassThrough()) : file;
const upload = new tus.Upload(source, {
  endpoint: told.endpoint,
  retryDelays: Array(60).fill(250),
  metadata: { filename: "a file", filetype: "application/octet-stream" },
  chunkSize: told.chunkSize ?? Infinity,
  parallelUploads: told.parallel ?? 1,
  uploadLengthDeferred: told.deferred ?? false,
  uploadDataDuringCreation: told.withCreation ?? false,
  onProgress: (sent) => say("progress", { sent }),
  onBeforeRequest: () => new Promise((resolve) => setTimeout(resolve, told.pace ?? 0)),
  onShouldRetry: () => true,
  onError: (error) => {
    say("error", { message: error.message });
    process.exit(1);
  },
  onSuccess: async () => {
    say("success", { url: upload.url });
    if (told.terminate) {
      await upload.abort(true);
      say("terminated");
    }
    process.exit(0);
  },
});
upload.start();
if (told.pause) {
  setTimeout(async () => {
    await upload.abort();
    say("paused");
    upload.start();
  }, told.pause);
}
