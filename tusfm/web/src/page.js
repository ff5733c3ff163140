import Uppy from "@uppy/core";
import Dashboard from "@uppy/dashboard";
import GoldenRetriever from "@uppy/golden-retriever";
import Tus from "@uppy/tus";
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";
import "./page.css";

// Relative to the page, so that a prefix before it (a proxy's) holds for uploads too.
const endpoint = new URL("files/", document.baseURI).href;
const VERSION = { "Tus-Resumable": "1.0.0" };
const RETRY_MS = [500, 1000, 2000, 4000, ...Array(200).fill(8000)]; // about half an hour in all, for a train in a tunnel
const STORED = "tusfm-finished";
const MIB = 1024 * 1024;

const $ = (id) => document.getElementById(id);
$("endpoint").textContent = endpoint;

// What is said above the dashboard

function say(text, bad = false) {
  const notice = $("notice");
  notice.hidden = !text;
  notice.classList.toggle("bad", bad);
  if (notice.textContent !== text) notice.textContent = text;
}

const status = (error) => error?.originalResponse?.getStatus?.() ?? 0;

function advice(error) {
  switch (status(error)) {
    case 0:
      return "The server cannot be reached. Nothing is lost: check your connection, then press Retry.";
    case 400:
      return "The server did not understand this file's name or type. Rename it and choose it again.";
    case 401:
    case 403:
      return "You may not upload here. Ask whoever runs this server.";
    case 404:
    case 410:
      return "The unfinished upload is gone from the server. Remove the file and choose it again to begin anew.";
    case 413:
      return "The file is larger than this server takes. Choose a smaller one.";
    case 507:
      return "The server has no room just now. Nothing is lost: press Retry later.";
    default:
      return "The server has a problem. Nothing is lost: press Retry in a moment.";
  }
}

// Finished files, remembered by this browser only

const finished = {
  read() {
    try {
      return JSON.parse(localStorage.getItem(STORED)) ?? [];
    } catch {
      return [];
    }
  },
  write(files) {
    try {
      localStorage.setItem(STORED, JSON.stringify(files.slice(0, 500)));
    } catch {
      say("This browser keeps no list of finished files; note their links.");
    }
    show(files);
  },
};

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KB", "MB", "GB", "TB"]; // of 1,024, as the dashboard counts them
  let value = bytes;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

function button(label, title, action) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "plain";
  element.textContent = label;
  element.setAttribute("aria-label", title);
  element.addEventListener("click", () => action(element));
  return element;
}

function show(files) {
  $("empty").hidden = files.length > 0;
  $("files").replaceChildren(
    ...files.map((file) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = file.url;
      link.textContent = file.name;
      const about = document.createElement("small");
      about.textContent = `${size(file.size)} · ${new Date(file.at).toLocaleString()}`;
      const actions = document.createElement("div");
      actions.append(
        button("Copy link", `Copy the link of ${file.name}`, (pressed) => copy(file, pressed)),
        button("Delete", `Delete ${file.name} from the server`, () => remove(file)),
      );
      item.append(link, about, actions);
      return item;
    }),
  );
}

async function copy(file, pressed) {
  try {
    await navigator.clipboard.writeText(file.url);
    pressed.textContent = "Copied";
    setTimeout(() => (pressed.textContent = "Copy link"), 1500);
  } catch {
    say(`The link is ${file.url}`);
  }
}

async function remove(file) {
  if (!confirm(`Delete ${file.name} from the server? Its link will stop working.`)) return;
  try {
    const answer = await fetch(file.url, { method: "DELETE", headers: VERSION });
    if (!answer.ok && answer.status !== 404) throw new Error(answer.status);
    finished.write(finished.read().filter((other) => other.url !== file.url));
  } catch {
    say("The file could not be deleted just now; please try again.", true);
  }
}

// Uploading

const uppy = new Uppy({ autoProceed: false })
  .use(Dashboard, {
    target: "#dashboard",
    inline: true,
    width: "100%",
    height: window.innerWidth < 500 ? 380 : 430,
    theme: "auto",
    proudlyDisplayPoweredByUppy: false,
    showProgressDetails: true,
    showRemoveButtonAfterComplete: true,
    doneButtonHandler: () => uppy.clear(),
    note: "Close this page whenever you like: choose the same file again, and it goes on where it stopped.",
  })
  .use(Tus, {
    endpoint,
    limit: 5,
    retryDelays: RETRY_MS,
    removeFingerprintOnSuccess: true,
    allowedMetaFields: ["name", "type", "filename", "filetype"],
    onShouldRetry(error, attempt) {
      const code = status(error);
      const again = code === 0 || code === 409 || code === 423 || code === 429 || code >= 500;
      if (again) {
        const seconds = Math.ceil((RETRY_MS[attempt] ?? 8000) / 1000);
        say(`${code ? "The server is busy" : "Connection lost"}; trying again in ${seconds} s. Nothing is lost.`);
      }
      return again;
    },
  })
  .use(GoldenRetriever, { indexedDB: { maxFileSize: 500 * MIB, maxTotalSize: 1000 * MIB } });

uppy.on("file-added", (file) => uppy.setFileMeta(file.id, { filename: file.name, filetype: file.type ?? "" }));
uppy.on("upload-progress", (file, progress) => {
  if (progress.bytesUploaded > 0) say("");
});
uppy.on("upload-error", (file, error) => say(`${file.name}: ${advice(error)}`, true));
uppy.on("restriction-failed", (file, error) => say(error.message, true));
uppy.on("upload-success", (file, response) => {
  say("");
  const entry = { url: response.uploadURL, name: file.name, size: file.size ?? 0, at: Date.now() };
  finished.write([entry, ...finished.read().filter((other) => other.url !== entry.url)]);
});
window.addEventListener("offline", () => say("You are offline. The upload goes on by itself when you are back."));
window.addEventListener("online", () => say(""));
window.addEventListener("storage", (event) => event.key === STORED && show(finished.read()));

show(finished.read());
