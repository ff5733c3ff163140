// @tus/server on its S3 store or its file store, with the defaults of its documentation: node server.mjs PORT [FOLDER]
import { FileStore } from "@tus/file-store";
import { S3Store } from "@tus/s3-store";
import { Server } from "@tus/server";

const [port, directory] = process.argv.slice(2);

function s3() {
  return new S3Store({
    partSize: 8 * 1024 * 1024,
    s3ClientConfig: {
      bucket: process.env.S3_BUCKET,
      endpoint: process.env.S3_ENDPOINT,
      forcePathStyle: true,
      region: "us-east-1",
      credentials: {
        accessKeyId: process.env.AWS_ACCESS_KEY_ID,
        secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
      },
    },
  });
}

const datastore = directory ? new FileStore({ directory }) : s3();
new Server({ path: "/files", datastore }).listen({ host: "127.0.0.1", port: Number(port) });
