/** The model card of a release (Mitchell et al. 2019), in Markdown: what it is, what it learned from, how good, what not. */
import type { VimlConfig } from '../../model/viml.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'

/** What only its makers know. Markdown. */
export interface CardText {
  /** What it was trained and measured on: where from, how much, how split. */
  readonly data: string
  /** Of the data and of the release. */
  readonly licence: string
  /** How well it does, and on what that was measured. */
  readonly figures: string
  /** What it cannot do, and what the figures do not say. */
  readonly limits: string
}

export interface CardInput {
  readonly release: string
  readonly model: string
  readonly parts: readonly (VimlConfig & { readonly share: number })[]
  readonly encoders: ReleaseManifest['encoders']
  readonly createdAt: string
  readonly text: CardText
}

const NAMES = { 'video+text': 'ViML', video: 'MVPt+', text: 'MT' } as const

export function modelCard({ release, model, parts, encoders, createdAt, text }: CardInput): string {
  const lines = [
    `# ${release}`,
    '',
    `Ranks music for a video, words or both: ${parts.map(({ query }) => NAMES[query]).join(' & ')}, made ${createdAt}.`,
    'Method: McKee et al., Language-Guided Music Recommendation for Video via Prompt Analogies, CVPR 2023.',
    '',
    ...section('Data', text.data),
    ...section('Licence', text.licence),
    ...section('Figures', text.figures),
    ...section('Limits', text.limits),
    '## Configuration',
    '',
    '| model | share of the score | dims | encoder | fusion |',
    '|---|---|---|---|---|',
    ...parts.map(({ query, share, dims, encoder, fusion }) => {
      const depth = `${encoder.kind}, ${encoder.layers} × ${encoder.hidden}`
      return `| ${NAMES[query]} | ${Number(share.toFixed(4))} | ${dims} | ${depth} | ${query === 'video+text' ? fusion : '–'} |`
    }),
    '',
    '| side | encoder | width |',
    '|---|---|---|',
    ...Object.entries(encoders).map(([side, { id, dims }]) => `| ${side} | ${id} | ${dims} |`),
    '',
    `The whole of it is in training.json. In the manifest the release is of the model "${model}".`,
    '',
  ]
  return lines.join('\n')
}

function section(title: string, body: string): string[] {
  return [`## ${title}`, '', body.trim(), '']
}
