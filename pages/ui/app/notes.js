// What was done of the lesson, in the browser's own storage: it is told once to each session, and then written.
const PLACE = "llmcalc.lesson";
const LONGEST = 20000;
let told;

function stored() {
  try {
    const text = window.localStorage.getItem(PLACE) ?? "";
    return text.length > LONGEST ? "" : text;
  } catch {
    return ""; // not allowed to
  }
}

export default function ({ data, setTriggerValue }) {
  const { session, written } = data;
  if (written === null) {
    if (told === session) return;
    told = session;
    setTriggerValue("stored", stored());
  } else if (written !== stored()) {
    try {
      window.localStorage.setItem(PLACE, written);
    } catch {
      // full, or not allowed to
    }
  }
}
