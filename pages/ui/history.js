// Streamlit adds an entry to the browser's history for each input that it writes into the address, also where nobody
// has changed one: on another page it writes again, one by one, what no control in sight stands for. So here an entry is
// made for each page and for each gesture, and what else is written belongs to the present one.
if (!window.llmcalcHistory) {
  window.llmcalcHistory = true;
  const { pushState, replaceState } = window.history;
  const running = () => document.querySelector("[data-test-script-state]")?.dataset.testScriptState !== "notRunning";
  // until the app has come to rest on a page that it was led to, whatever it writes is what that page says
  let gesture = false, arriving = true;
  const write = (state, title, url) => {
    const path = new URL(url, window.location.href).pathname;
    const elsewhere = path !== window.location.pathname;
    (gesture || elsewhere ? pushState : replaceState).call(window.history, state, title, url);
    gesture = false;
    arriving ||= elsewhere;
  };
  window.history.pushState = window.history.replaceState = write;
  const noticed = (event) => {
    if (event.repeat || (arriving && running())) return;
    gesture = true;
    arriving = false;
  };
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, noticed, true);
  window.addEventListener("popstate", () => ([gesture, arriving] = [false, true]), true);
}
