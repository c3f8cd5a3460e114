// The camera: a button in the box opens a dialog, and the picture that is taken there is attached as a file.

const MOST = { width: { ideal: 1280 }, height: { ideal: 960 }, facingMode: "environment" };
const dialog = () => document.querySelector("#camera dialog");

function offer() {
  const before = document.querySelector("#box [data-testid='microphone-button']");
  const ours = document.querySelector("#camera button[name='camera']");
  if (before && ours && !document.querySelector("#box button[name='camera']")) before.before(ours.cloneNode(true));
}

async function open() {
  const shown = dialog();
  const video = shown.querySelector("video");
  shown.classList.remove("failed");
  shown.showModal();
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: MOST });
    video.srcObject = stream;
    if (!shown.open) release(); // left before the camera was there
  } catch {
    shown.classList.add("failed");
  }
}

function release() {
  const video = dialog().querySelector("video");
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

function shoot() {
  const video = dialog().querySelector("video");
  if (!video.videoWidth) return;
  const picture = document.createElement("canvas");
  picture.width = video.videoWidth;
  picture.height = video.videoHeight;
  picture.getContext("2d").drawImage(video, 0, 0);
  picture.toBlob((content) => attach(new File([content], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.92);
  dialog().close();
}

function attach(file) {
  const files = new DataTransfer();
  files.items.add(file);
  const input = document.querySelector("#box input[type=file]");
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// Browsers give the camera to https and to this machine only; elsewhere there is nothing to offer.
if (navigator.mediaDevices?.getUserMedia) {
  const does = { camera: open, shoot, leave: () => dialog().close() };
  document.addEventListener("click", (event) => does[event.target.closest("button.do[data-here]")?.name]?.());
  document.addEventListener("close", (event) => event.target === dialog() && release(), true);
  let soon = 0; // as in clicks.js
  const offer_soon = () => {
    soon ||= setTimeout(() => {
      soon = 0;
      offer();
    }, 200);
  };
  offer();
  new MutationObserver(offer_soon).observe(document.body, { childList: true, subtree: true });
}
