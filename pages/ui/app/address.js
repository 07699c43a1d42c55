// Streamlit drops a link with more fields than MOST as a whole. So open one that has fewer: those that mean something,
// and of the rest as many as there is room for.
const fields = window.location.search.slice(1).split("&");
if (fields.length > MOST) {
  const inputs = new Set(INPUTS), means = (field) => inputs.has(field.split("=")[0]);
  const kept = [...fields.filter(means), ...fields.filter((field) => !means(field))].slice(0, MOST);
  window.location.replace(`${window.location.pathname}?${kept.join("&")}`);
}
