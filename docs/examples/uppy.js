import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import GoldenRetriever from "@uppy/golden-retriever";
import Tus from "@uppy/tus";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";

new Uppy()
  .use(Dashboard, { inline: true, target: "#uploads" })
  .use(GoldenRetriever) // files survive a reload of the page
  .use(Tus, {
    endpoint: "http://127.0.0.1:8000/files/",
    retryDelays: [0, 1000, 3000, 5000, 10000, 30000],
    allowedMetaFields: ["name", "type"],
  })
  .on("upload-success", (file, { uploadURL }) => (document.title = uploadURL));
