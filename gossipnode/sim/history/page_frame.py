"""What every page of a history has: its styles, its script, and the frame around its content.

The page must work offline and alone. So nothing here may name another file or host, and without the script
everything can still be read.
"""

from __future__ import annotations

from html import escape
from string import Template

STYLE = """
:root {
  color-scheme: light dark;
  --back: #fff; --text: #1c2128; --soft: #59636e; --edge: #d1d9e0; --stripe: #f6f8fa;
  --done: #1a7f37; --refused: #a0460f; --unknown: #e3b341; --open: #6e7781; --round: #0969da;
  --bad: #cf222e; --fault: #8250df; --harm: #8250df2e; --unwell: #bf87002e; --unserved: #cf222e38;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #0d1117; --text: #e6edf3; --soft: #9198a1; --edge: #3d444d; --stripe: #151b23;
    --done: #3fb950; --refused: #db6d28; --unknown: #f2cc60; --open: #9198a1; --round: #4493f8;
    --bad: #f85149; --fault: #ab7df8; --harm: #ab7df840; --unwell: #d2992238; --unserved: #f8514945;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; padding: 0 0 9rem; background: var(--back); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif;
}
header, details { padding: .5rem 1rem; }
section { padding: .3rem 0; }
h1 { font-size: 1.3rem; margin: .3rem 0; }
h2 { font-size: 1rem; margin: .3rem 0; }
p, ol { margin: .3rem 0; }
ol { padding-left: 1.8rem; max-height: 45vh; overflow-y: auto; }
li { overflow-wrap: anywhere; margin: .2rem 0; }
li button { vertical-align: top; }
.well { color: var(--done); }
.violated { color: var(--bad); }
.violated button, #tools button {
  font: inherit; color: inherit; background: var(--stripe); border: 1px solid var(--edge);
  border-radius: 6px; padding: .15rem .6rem; text-align: left; cursor: pointer;
}
.legend { color: var(--soft); font-size: .85rem; }
.legend span { display: inline-block; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .6em; }
#tools { display: flex; gap: .5rem; flex-wrap: wrap; align-items: center; }
#tools input {
  font: inherit; color: inherit; background: var(--back); border: 1px solid var(--edge);
  border-radius: 6px; padding: .2rem .5rem; flex: 1 1 10rem; max-width: 22rem; min-width: 0;
}
#lanes { overflow-x: auto; border-block: 1px solid var(--edge); }
.lane { display: flex; width: max-content; min-width: 100%; border-bottom: 1px solid var(--edge); }
.lane:nth-child(even) .track { background: var(--stripe); }
.name {
  position: sticky; left: 0; z-index: 3; flex: 0 0 6.5rem; padding: .2rem .4rem; font-size: .85rem;
  background: var(--back); border-right: 1px solid var(--edge); overflow-wrap: anywhere;
}
.name small { display: block; color: var(--soft); }
.track {
  position: relative; flex: 0 0 auto; overflow: hidden;
  width: calc(var(--scale) * var(--length) * 1px + 2rem);
  height: calc(var(--rows) * 20px + 6px); min-height: 2.6rem;
}
.track > * { position: absolute; left: calc(var(--scale) * var(--t) * 1px); }
.band { top: 0; bottom: 0; width: calc(var(--scale) * var(--d) * 1px); min-width: 2px; }
.band, .item { border: 0; padding: 0; margin: 0; font: 11px/16px system-ui, sans-serif; cursor: pointer; }
.band { color: var(--soft); text-align: left; padding: 0 3px; overflow: hidden; white-space: nowrap;
  display: flex; align-items: flex-end; }
.harm { background: var(--harm); }
.unwell { background: var(--unwell); }
.unserved { background: var(--unserved); top: 50%; }
.item {
  top: calc(var(--r) * 20px + 3px); height: 16px; border-radius: 3px; z-index: 1;
  width: calc(var(--scale) * var(--d) * 1px); min-width: 5px;
}
.point { width: 9px; min-width: 9px; height: 9px; margin-top: 4px; transform: translateX(-4px) rotate(45deg);
  border-radius: 1px; }
.done { background: var(--done); } .refused { background: var(--refused); }
.unknown { background: var(--unknown); } .open { background: var(--open); opacity: .8; }
.round { background: var(--round); } .fault { background: var(--fault); }
.bad { background: var(--bad); } .plain { background: var(--soft); opacity: .7; }
.shown { outline: 2px solid var(--bad); outline-offset: 1px; z-index: 2; }
.dim { opacity: .12; }
.line { top: 0; bottom: 0; width: 0; border-left: 2px dashed var(--bad); pointer-events: none; }
.tick { top: 0; bottom: 0; border-left: 1px solid var(--edge); padding-left: 3px; font-size: 11px;
  color: var(--soft); font-style: normal; white-space: nowrap; pointer-events: none; }
button:focus-visible, .chosen { outline: 3px solid var(--text); outline-offset: 1px; z-index: 2; }
#about {
  position: fixed; inset: auto 0 0; max-height: 8rem; overflow: auto; z-index: 5; padding: .6rem 1rem;
  background: var(--back); border-top: 2px solid var(--edge); overflow-wrap: anywhere; white-space: pre-wrap;
  font-size: .9rem;
}
pre { overflow-x: auto; font-size: 12px; line-height: 1.4; }
"""

SCRIPT = """
const lanes = document.getElementById("lanes"), about = document.getElementById("about");
const things = [...lanes.querySelectorAll("button")], length = Number(lanes.dataset.length);
let scale = Number(lanes.dataset.scale), chosen = null;
function zoom(to) {
  const name = 104, middle = (lanes.scrollLeft + (lanes.clientWidth - name) / 2) / scale;
  scale = Math.min(Math.max(to, 0.5), 20000);
  lanes.style.setProperty("--scale", scale);
  lanes.scrollLeft = middle * scale - (lanes.clientWidth - name) / 2;
}
function fit() { zoom((lanes.clientWidth - 150) / length); }
function show(thing) {
  if (thing) about.textContent = thing.title;
}
lanes.addEventListener("click", event => {
  const thing = event.target.closest("button");
  if (chosen) chosen.classList.remove("chosen");
  chosen = thing;
  if (thing) thing.classList.add("chosen");
  show(thing);
});
lanes.addEventListener("pointerover", event => {
  if (event.pointerType === "mouse" && !chosen) show(event.target.closest("button"));
});
lanes.addEventListener("focusin", event => show(event.target.closest("button")));
document.getElementById("closer").onclick = () => zoom(scale * 2);
document.getElementById("farther").onclick = () => zoom(scale / 2);
document.getElementById("whole").onclick = fit;
document.getElementById("words").oninput = event => {
  const words = event.target.value.trim().toLowerCase();
  for (const thing of things)
    thing.classList.toggle("dim", words !== "" && !thing.title.toLowerCase().includes(words));
};
for (const button of document.querySelectorAll("[data-time]"))
  button.onclick = () => {
    zoom(Math.max(scale, lanes.clientWidth / 4));
    lanes.scrollLeft = Number(button.dataset.time) * scale - lanes.clientWidth / 3;
    about.textContent = button.textContent;
    lanes.scrollIntoView({block: "nearest"});
  };
if (length * scale < lanes.clientWidth) fit();
"""

_FRAME = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
$content
<script>$script</script>
</body>
</html>
""")


def page(title: str, content: str) -> str:
    """A whole page. `content` is HTML, in which every text is escaped already."""
    return _FRAME.substitute(title=escape(title), style=STYLE, content=content, script=SCRIPT)
