// Reads a QR code with the camera or from a picture. Where the browser has no BarcodeDetector, the bank reads the pixels.
"use strict";

const scanner = document.getElementById("scanner");
const video = scanner.querySelector("video");
const picture = document.getElementById("picture");
const MOST = 900; // pixels of the longer side

scanner.querySelector("[data-camera]").addEventListener("click", useCamera);
picture.addEventListener("change", usePicture);

async function useCamera() {
  complain("");
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    video.parentElement.hidden = false;
    await video.play();
  } catch {
    return complain(scanner.dataset.noCamera);
  }
  const find = await reader();
  while (video.srcObject?.active) {
    const text = await find(video, video.videoWidth, video.videoHeight).catch(() => null);
    if (text) {
      for (const track of video.srcObject.getTracks()) track.stop();
      return use(text);
    }
    await new Promise((done) => setTimeout(done, 250));
  }
}

async function usePicture() {
  complain("");
  const [file] = picture.files;
  if (!file) return;
  try {
    const image = await createImageBitmap(file);
    use(await (await reader())(image, image.width, image.height));
  } catch (error) {
    complain(error.forPeople ?? scanner.dataset.failed);
  }
  picture.value = "";
}

// Returns a function that returns the text of the code in a picture.
async function reader() {
  if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (image, width, height) => (await detector.detect(image))[0]?.rawValue ?? readByBank(image, width, height);
  }
  return readByBank;
}

async function readByBank(image, width, height) {
  const scale = Math.min(1, MOST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const colours = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const grey = new Uint8Array(canvas.width * canvas.height);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = (colours[4 * i] * 77 + colours[4 * i + 1] * 150 + colours[4 * i + 2] * 29) >> 8;
  }
  const answer = await fetch(`/scan/picture?width=${canvas.width}`, { method: "POST", body: grey });
  const found = await answer.json();
  if (found.text) return found.text;
  throw Object.assign(new Error("no code"), { forPeople: found.error });
}

function use(text) {
  document.getElementById("text").value = text;
  document.getElementById("scanned").requestSubmit();
}

function complain(text) {
  const place = scanner.querySelector(".wrong");
  place.textContent = text;
  place.hidden = !text;
}
