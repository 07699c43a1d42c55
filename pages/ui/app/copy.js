// A button that copies the address as it is now: it names the model and what was changed. With it go what an address
// leaves out because that is so at first: the version of links, the language, the model. Never that it is presented.
function shortAddress(always, usual) {
  const address = new URL(window.location.href);
  const given = new URLSearchParams(address.search);
  const told = new URLSearchParams(always);
  for (const [key, value] of given) if (key in always || usual[key] !== value) told.set(key, value);
  told.set("v", always.v);
  told.delete("present");
  address.search = told.toString();
  return address.href;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // not allowed, or not there: a page that is not served over https
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}

export default function ({ data, parentElement }) {
  let button = parentElement.querySelector("button");
  if (!button) {
    button = document.createElement("button");
    button.className = "copy-link";
    button.type = "button";
    const said = document.createElement("span");
    said.setAttribute("aria-live", "polite");
    button.append(said);
    parentElement.append(button);
  }
  const said = button.firstChild;
  said.textContent = data.label;
  button.onclick = async () => {
    const address = shortAddress(data.always, data.usual);
    if (await copied(address)) said.textContent = data.done;
    else window.prompt(data.label, address);
    button.focus();
    setTimeout(() => (said.textContent = data.label), 2500);
  };
}
