/**
 * What every report is: one HTML file that asks for nothing from anywhere. Its policy lets in its own style and script
 * alone, by their hashes.
 */
import { createHash } from 'node:crypto'
import { type Content, html, Markup } from './markup.ts'
import { STYLES } from './styles.ts'

export interface Section {
  /** Of the link to it. */
  readonly id: string
  readonly title: string
  readonly body: Content
}

export interface ReportDocument {
  readonly title: string
  readonly heading: string
  /** Lines on what was done. */
  readonly about: readonly string[]
  readonly sections: readonly Section[]
  /** Beside those of all reports. */
  readonly styles?: string
  readonly script?: string
}

export function documentOf({ title, heading, about, sections, styles = '', script }: ReportDocument): string {
  const style = STYLES + styles
  const links = sections.map(({ id, title }) => html`<a href="#${id}">${title}</a>`)
  const bodies = sections.map(
    ({ id, title, body }) => html`<section id="${id}"><h2>${title}</h2>${body}</section>
`,
  )
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<h1>${heading}</h1>
${about.map((line) => html`<p class="soft">${line}</p>`)}
<nav>${links}</nav>
${bodies}
${script === undefined ? undefined : html`<script>${new Markup(script)}</script>`}
</body>
</html>
`
  return page.text
}

/** Without a script, no script is let in. */
function policy(style: string, script: string | undefined): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  const scripts = script === undefined ? '' : ` script-src ${hash(script)};`
  return `default-src 'none'; style-src ${hash(style)};${scripts} img-src data:; base-uri 'none'; form-action 'none'`
}

/** @param cells the head first, and the name of a row first in it. */
export function tableOf([head, ...rows]: readonly (readonly string[])[]): Markup {
  return html`<div class="scroll"><table><thead><tr>${head!.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead><tbody>${rows.map(([name, ...cells]) => html`<tr><th scope="row">${name}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody></table></div>
`
}
