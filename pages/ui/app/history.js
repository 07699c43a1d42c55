// Streamlit adds an entry to the browser's history for each input that it writes into the address, also where nobody
// has changed one: on another page it writes again, one by one, what no control in sight stands for. So here an entry is
// made for each page and for each gesture, and what else is written belongs to the present one. Another page opens with
// what the address says, for all inputs go along; and no page that was on its way opens after one of the history's has.
if (!window.llmcalcHistory) {
  window.llmcalcHistory = true;
  const { pushState, replaceState } = window.history;
  const running = () => document.querySelector("[data-test-script-state]")?.dataset.testScriptState !== "notRunning";
  // until the app has come to rest on a page that it was led to, whatever it writes is what that page says
  let gesture = false, arriving = true, led = false;
  const said = ({ search }) => [...new URLSearchParams(search)].map(String).sort().join("&"); // in whatever order
  const write = (state, title, url) => {
    const address = new URL(url, window.location.href);
    const elsewhere = address.pathname !== window.location.pathname;
    if (elsewhere ? led : said(address) === said(window.location)) return;
    if (elsewhere) address.search = window.location.search;
    (gesture || elsewhere ? pushState : replaceState).call(window.history, state, title, address);
    gesture = false;
    arriving ||= elsewhere;
  };
  window.history.pushState = window.history.replaceState = write;
  const noticed = (event) => {
    if (event.repeat || (arriving && running())) return;
    gesture = true;
    arriving = false;
  };
  const asked = () => (led = false);
  for (const kind of ["pointerdown", "keydown", "click"]) window.addEventListener(kind, asked, true);
  for (const kind of ["pointerdown", "keydown"]) window.addEventListener(kind, noticed, true);
  window.addEventListener("popstate", () => ([gesture, arriving, led] = [false, true, true]), true);
}
