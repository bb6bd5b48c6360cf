// One upload with its progress. fetch() cannot tell how far an upload is; XMLHttpRequest can.

const AT_WORK = "Checking the photograph";

export function send(form, file, { at, of }) {
  const body = new FormData(form),
    bar = document.getElementById("upload-bar"),
    text = document.getElementById("upload-text");
  body.delete("image");
  if (file) body.append("image", file, file.name);
  const which = of > 1 ? `Photograph ${at + 1} of ${of}: ` : "";
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.upload.onprogress = ({ loaded, total }) => {
      bar.max = total || 1;
      bar.value = loaded;
      text.textContent =
        which + (loaded < total ? `${Math.floor((100 * loaded) / total)} % sent` : AT_WORK);
    };
    request.onload = () =>
      resolve({ status: request.status, text: request.responseText, url: request.responseURL });
    request.onerror = request.onabort = () => resolve(null);
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "text/html");
    request.send(body);
  });
}
