/**
 * The plots of the report as SVG, drawn when the report is written. Colours are classes (styles.ts), so that they follow
 * light and dark. Coordinates are of a viewBox that scales to the width of the page.
 */
import { scaleLinear, scaleLog } from 'd3-scale'
import { area, line } from 'd3-shape'
import { type Content, html, type Markup } from './markup.ts'

export interface Point {
  readonly x: number
  readonly y: number
  /** Ends of a band. */
  readonly low?: number
  readonly high?: number
}

export interface Series {
  readonly label: string
  /** Of the palette, from 0. */
  readonly colour: number
  readonly points: readonly Point[]
  readonly dashed?: boolean
  /** With a mark at each point. */
  readonly marked?: boolean
}

export interface Axis {
  readonly label: string
  readonly log?: boolean
  /** What is written at the axis; chosen if absent. */
  readonly ticks?: readonly number[]
  readonly from?: number
  readonly to?: number
}

const WIDTH = 460
const HEIGHT = 300
const LEFT = 46
const BOTTOM = HEIGHT - 42
const TOP = 12
const RIGHT = WIDTH - 14

/** Lines with their bands. */
export function linePlot(title: string, series: readonly Series[], axes: { x: Axis; y: Axis }): Markup {
  const points = series.flatMap((one) => one.points)
  const x = scaleOf(
    axes.x,
    points.map((point) => point.x),
    [LEFT, RIGHT],
  )
  const y = scaleOf(
    axes.y,
    points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]),
    [BOTTOM, TOP],
  )
  const path = line<Point>(
    (point) => x(point.x),
    (point) => y(point.y),
  ).digits(1)
  const band = area<Point>(
    (point) => x(point.x),
    (point) => y(point.low ?? point.y),
    (point) => y(point.high ?? point.y),
  ).digits(1)
  const bands = series
    .filter((one) => one.points.some(({ low }) => low !== undefined))
    .map((one) => html`<path class="band c${one.colour}" d="${band(one.points) ?? ''}"/>`)
  const lines = series.map(
    (one) => html`<path class="line c${one.colour}${one.dashed ? ' dashed' : ''}" d="${path(one.points) ?? ''}"/>`,
  )
  const marks = series
    .filter(({ marked }) => marked)
    .flatMap((one) =>
      one.points.map(
        (point) =>
          html`<circle class="mark c${one.colour}" cx="${round(x(point.x))}" cy="${round(y(point.y))}" r="4"><title>${one.label}: ${shortly(point.y)}</title></circle>`,
      ),
    )
  return figure(title, HEIGHT, [grid(x, y, axes), bands, lines, marks], legend(series))
}

export interface Bars {
  readonly label: string
  readonly colour: number
  readonly values: readonly number[]
}

/** Groups of bars side by side. @param groups names of the places on the x axis. */
export function barPlot(
  title: string,
  groups: readonly string[],
  bars: readonly Bars[],
  axes: { x: string; y: string },
): Markup {
  const y = scaleOf(
    { label: axes.y, from: 0 },
    bars.flatMap(({ values }) => values),
    [BOTTOM, TOP],
  )
  const width = (RIGHT - LEFT) / groups.length
  const thick = (width * 0.8) / bars.length
  const drawn = bars.flatMap(({ label, colour, values }, place) =>
    values.map((value, group) => {
      const left = LEFT + group * width + width * 0.1 + place * thick
      return html`<rect class="bar c${colour}" x="${round(left)}" y="${round(y(value))}" width="${round(thick - 1)}" height="${round(BOTTOM - y(value))}"><title>${label}, ${groups[group]!}: ${shortly(value)}</title></rect>`
    }),
  )
  const names = groups.map(
    (name, group) =>
      html`<text x="${round(LEFT + (group + 0.5) * width)}" y="${BOTTOM + 16}" text-anchor="middle">${name}</text>`,
  )
  const axis = [horizontals(y), names, axisLabels({ x: { label: axes.x }, y: { label: axes.y } })]
  return figure(title, HEIGHT, [axis, drawn], legend(bars))
}

export interface Interval {
  readonly label: string
  readonly value: number
  readonly low: number
  readonly high: number
  /** Single trainings. */
  readonly seeds: readonly number[]
  readonly colour: number
}

const ROW = 42

/** One row a method: its mean, its interval, its seeds. @param reference a value to draw a line at. */
export function intervalPlot(title: string, rows: readonly Interval[], axis: Axis, reference?: number): Markup {
  const bottom = TOP + rows.length * ROW
  const values = rows.flatMap(({ low, high, seeds }) => [low, high, ...seeds])
  const x = scaleOf(axis, values, [16, RIGHT])
  const ticks = (axis.ticks ?? x.ticks(6)).map(
    (tick) =>
      html`<line class="grid" x1="${round(x(tick))}" x2="${round(x(tick))}" y1="${TOP}" y2="${bottom}"/><text x="${round(x(tick))}" y="${bottom + 16}" text-anchor="middle">${shortly(tick)}</text>`,
  )
  const against =
    reference === undefined
      ? undefined
      : html`<line class="reference" x1="${round(x(reference))}" x2="${round(x(reference))}" y1="${TOP}" y2="${bottom}"/>`
  const drawn = rows.map(({ label, value, low, high, seeds, colour }, row) => {
    const at = TOP + row * ROW + 28
    const single = seeds.map((seed) => html`<circle class="seed c${colour}" cx="${round(x(seed))}" cy="${at}" r="3"/>`)
    return html`<g><title>${label}: ${shortly(value)} (${shortly(low)} to ${shortly(high)})</title><text class="row" x="16" y="${at - 11}">${label}</text><text class="row value" x="${RIGHT}" y="${at - 11}" text-anchor="end">${value.toFixed(1)}</text><line class="whisker c${colour}" x1="${round(x(low))}" x2="${round(x(high))}" y1="${at}" y2="${at}"/>${single}<circle class="mark c${colour}" cx="${round(x(value))}" cy="${at}" r="5"/></g>`
  })
  const name = html`<text class="axis" x="${(16 + RIGHT) / 2}" y="${bottom + 36}" text-anchor="middle">${axis.label}</text>`
  return figure(title, bottom + 44, [ticks, against, drawn, name], undefined)
}

type Scale = ReturnType<typeof scaleOf>

function scaleOf({ log, from, to }: Axis, values: readonly number[], range: [number, number]) {
  const low = from ?? values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY)
  const high = to ?? values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY)
  const domain = low < high ? [low, high] : [low - 0.5, low + 0.5]
  return log ? scaleLog(domain, range) : scaleLinear(domain, range).nice(5)
}

function grid(x: Scale, y: Scale, axes: { x: Axis; y: Axis }): Content {
  const marks = (axes.x.ticks ?? x.ticks(6)).map(
    (tick) => html`<text x="${round(x(tick))}" y="${BOTTOM + 16}" text-anchor="middle">${shortly(tick)}</text>`,
  )
  return [horizontals(y), marks, axisLabels(axes)]
}

function horizontals(y: Scale): Content {
  return y
    .ticks(5)
    .map(
      (tick) =>
        html`<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${round(y(tick))}" y2="${round(y(tick))}"/><text x="${LEFT - 6}" y="${round(y(tick) + 4)}" text-anchor="end">${shortly(tick)}</text>`,
    )
}

function axisLabels({ x, y }: { x: Axis; y: Axis }): Content {
  const middle = (TOP + BOTTOM) / 2
  return [
    html`<text class="axis" x="${(LEFT + RIGHT) / 2}" y="${BOTTOM + 36}" text-anchor="middle">${x.label}</text>`,
    html`<text class="axis" transform="translate(12 ${middle}) rotate(-90)" text-anchor="middle">${y.label}</text>`,
  ]
}

function legend(entries: readonly { label: string; colour: number; dashed?: boolean }[]): Content {
  if (entries.length < 2) return undefined
  const items = entries.map(
    ({ label, colour, dashed }) =>
      html`<li><svg class="swatch" viewBox="0 0 20 8"><line class="line c${colour}${dashed ? ' dashed' : ''}" x1="0" x2="20" y1="4" y2="4"/></svg>${label}</li>`,
  )
  return html`<ul class="legend">${items}</ul>`
}

/** @param height of the viewBox. */
export function figure(title: string, height: number, drawn: Content, below: Content): Markup {
  return html`<figure><figcaption>${title}</figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${title}">${drawn}</svg>${below}</figure>
`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function shortly(value: number): string {
  return String(Math.round(value * 100) / 100).replace('-', '−')
}
