// Numbers in the words of ui/app/text.py.

const whole = new Intl.NumberFormat("en-US");

function counted(n, one, many = `${one}s`) {
  return `${whole.format(n)} ${n === 1 ? one : many}`;
}

/** A share as a count: "5 in 100", or "4 in 1,000" below one in a hundred; half up, and up for a bound. */
function inHundred(share, up = false) {
  const round = (x) => (up ? Math.ceil(x) : Math.round(x));
  const tidy = (x) => Number(x.toFixed(10));
  if (share * 100 >= 0.995 || share <= 0) return `${round(tidy(share * 100))} in 100`;
  return `${Math.max(1, round(tidy(share * 1000)))} in 1,000`;
}

function promised(rate) {
  return (
    `About ${inHundred(rate.expected)} good parts rejected; at most ${inHundred(rate.upper, true)} with 95 % ` +
    `confidence; judged from ${counted(rate.n, "part")}.`
  );
}

/** A score over the threshold to two decimals, never rounded across it. */
function multipleOf(score, threshold) {
  if (threshold <= 0) return "–";
  const exact = score / threshold;
  const cut = (exact > 1 ? Math.ceil(exact * 100) : Math.floor(exact * 100)) / 100;
  return `${cut.toFixed(2)} ×`;
}

/** Build an element; texts are texts, never markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function drawn(tag, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}
