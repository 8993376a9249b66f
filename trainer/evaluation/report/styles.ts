/** The look of the report: light and dark by what the reader's system says, from a phone's width on. No style attributes. */

/** Colours that stay apart for the colour-blind (after Okabe & Ito 2008), by number of series. */
const PALETTE = {
  light: ['#0b6bb0', '#c2570c', '#0a7f5c', '#7a4fb5', '#b0305f', '#6b7280', '#8a6d00'],
  dark: ['#5ab0f2', '#f09350', '#3cc79b', '#b899ea', '#ef7ba5', '#9aa3b0', '#d8b634'],
}

const colours = (palette: readonly string[]) => palette.map((colour, i) => `--c${i}:${colour};`).join('')
const classes = PALETTE.light.map((_, i) => `.c${i}{--c:var(--c${i})}`).join('')

export const STYLES = `
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1d2127;--soft:#5b6470;--rule:#dfe2e6;--good:#0a7f5c;${colours(PALETTE.light)}}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1c2026;--ink:#e8eaed;--soft:#a3abb6;--rule:#333a44;--good:#3cc79b;${colours(PALETTE.dark)}}}
${classes}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:70rem;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.75rem 0 .5rem}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
p{max-width:46rem;margin:.4rem 0 1rem}
a{color:var(--c0)}
nav a{display:inline-block;margin:0 1rem .3rem 0}
.soft,figcaption,.legend{color:var(--soft)}
.plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr));align-items:start}
figure{margin:0;padding:.8rem;background:var(--card);border:1px solid var(--rule);border-radius:.6rem;min-width:0}
figcaption{font-size:.9rem;margin:0 0 .4rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font-size:12px;fill:var(--soft)}
svg text.row{font-size:12.5px;fill:var(--ink)}
svg text.value{font-weight:600}
.grid{stroke:var(--rule)}
.reference{stroke:var(--c0);stroke-dasharray:3 4;opacity:.8}
.line{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round}
.dashed{stroke-dasharray:5 4}
.band{fill:var(--c);opacity:.14}
.mark,.bar{fill:var(--c)}
.seed{fill:none;stroke:var(--c);stroke-width:1.4}
.whisker{stroke:var(--c);stroke-width:2.4;opacity:.55;stroke-linecap:round}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:.6rem 0 0;padding:0;font-size:.85rem}
.legend li{display:flex;align-items:center;gap:.4rem}
.swatch{width:1.4rem;flex:none}
.dot{width:.8rem;height:.8rem;flex:none}
.scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:.6rem;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem .7rem;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-weight:500;vertical-align:bottom}
th:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
tbody th{font-weight:500}
.map{max-width:52rem}
.map .point{fill:var(--c);opacity:.75}
.map .query{fill:var(--card);stroke:var(--ink);stroke-width:1.6}
.map .tie{stroke:var(--ink);stroke-width:1;opacity:.55}
.map [data-note]:hover,.map .chosen{opacity:1;stroke:var(--ink);stroke-width:2}
.readout{min-height:3.2em;margin:.6rem 0 0;font-size:.9rem;overflow-wrap:anywhere}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr))}
.card{padding:1rem;background:var(--card);border:1px solid var(--rule);border-radius:.6rem;min-width:0}
.card h3{margin:0 0 .3rem;overflow-wrap:anywhere}
.card img{display:block;width:100%;max-height:12rem;object-fit:cover;border-radius:.4rem;margin:.5rem 0}
.lists{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,13rem),1fr))}
.lists h4{margin:.4rem 0;font-size:.85rem;color:var(--soft);font-weight:500}
ol{margin:0;padding:0;list-style:none;font-size:.85rem}
ol li{display:grid;grid-template-columns:1.4rem 3.2rem 1fr;gap:.3rem;padding:.15rem 0;border-top:1px solid var(--rule)}
ol .words{overflow-wrap:anywhere}
.right{color:var(--good);font-weight:600}
@media print{body{max-width:none}figure,.card{break-inside:avoid}}
`
