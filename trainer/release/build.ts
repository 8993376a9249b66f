/**
 * Makes the bundle of a trained release:
 *
 *     trained models ──▶ query.onnx, music.onnx (model/release-towers.ts), card.md, training.json ──▶ manifest
 *
 * The same models give the same towers, byte by byte. Nothing here judges a release: that is gate.ts.
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Parameters } from '../../model/ops.ts'
import { jointDims, type ReleaseModel, releaseMusicTower, releaseQueryTower } from '../../model/release-towers.ts'
import { modalitiesOf, type VimlConfig } from '../../model/viml.ts'
import { SetupError } from '../../ports/errors.ts'
import type { ReleaseManifest } from '../../ports/release-manifest.ts'
import { type CardText, modelCard } from './card.ts'

/** As `train` gives it. */
export interface TrainedModel {
  readonly model: VimlConfig
  readonly parameters: Parameters
}

export interface BundleInput {
  /** Where the files are written. */
  readonly directory: string
  /** Its id; made of its content and `createdAt` where none is given. */
  readonly release?: string | undefined
  /** The text encoder's vector of "", (d_t,). */
  readonly xNull: Float32Array
  /** Whose features the models were trained on. */
  readonly encoders: ReleaseManifest['encoders']
  readonly metrics: ReleaseManifest['metrics']
  readonly parent: string | null
  /** ISO 8601. */
  readonly createdAt: string
  readonly card: CardText
  /** How it came to be, for training.json: training configurations, seeds, versions. Of plain JSON. */
  readonly training: Readonly<Record<string, unknown>>
}

export interface VimlReleaseInput extends BundleInput {
  readonly viml: TrainedModel
  readonly mt: TrainedModel
  /** MT's share of the score. */
  readonly a: number
}

/** Between these both a video alone and words alone are answered by a part that the index holds. */
const A_RANGE = [0.05, 0.95] as const

/**
 * ViML & MT, the paper's best. @returns the manifest of the files that it wrote.
 * @throws SetupError 'bad-release' for models that are not these two, or that take other features than `encoders` give
 */
export async function buildVimlRelease({ viml, mt, a, ...bundle }: VimlReleaseInput): Promise<ReleaseManifest> {
  if (viml.model.query !== 'video+text' || mt.model.query !== 'text') {
    throw badRelease(`its models ask with ${viml.model.query} and ${mt.model.query}, not with video+text and text`)
  }
  if (!(a >= A_RANGE[0] && a <= A_RANGE[1])) throw badRelease(`a is ${a}, not within ${A_RANGE.join(' … ')}`)
  return writeBundle('viml', bundle, [
    { ...viml, share: 1 - a },
    { ...mt, share: a },
  ])
}

/** One model by itself, so that any variant is measured as it would be served. @returns, @throws as `buildVimlRelease` */
export async function buildSingleRelease({ trained, ...bundle }: BundleInput & { readonly trained: TrainedModel }) {
  const names = { 'video+text': 'viml', video: 'mvpt+', text: 'mt' } as const
  return writeBundle(names[trained.model.query], bundle, [{ ...trained, share: 1 }])
}

async function writeBundle(
  model: string,
  bundle: BundleInput,
  trained: readonly (TrainedModel & { readonly share: number })[],
): Promise<ReleaseManifest> {
  const { directory, xNull, encoders, metrics, parent, createdAt, card, training } = bundle
  const models = trained.map((one) => releaseModel(one, encoders))
  if (xNull.length !== encoders.text.dims) {
    throw badRelease(`x_NULL has ${xNull.length} values, where ${encoders.text.id} gives ${encoders.text.dims}`)
  }
  const towers = { query: 'query.onnx', music: 'music.onnx' }
  const towerFiles = [
    { name: towers.query, bytes: releaseQueryTower(models, xNull) },
    { name: towers.music, bytes: releaseMusicTower(models) },
  ]
  const release = bundle.release ?? releaseIdOf(model, towerFiles, createdAt)
  const parts = models.map(({ config, share }) => ({ share, ...config }))
  const contents = [
    ...towerFiles,
    { name: 'card.md', bytes: Buffer.from(modelCard({ release, model, parts, encoders, createdAt, text: card })) },
    {
      name: 'training.json',
      bytes: Buffer.from(`${JSON.stringify({ release, model, parent, createdAt, parts, training }, null, 2)}\n`),
    },
  ]
  await mkdir(directory, { recursive: true })
  for (const { name, bytes } of contents) await writeFile(path.join(directory, name), bytes)
  const dims = jointDims(models)
  const files = contents.map(({ name, bytes }) => ({ name, sha256: sha256(bytes), bytes: bytes.byteLength }))
  return { release, model, dims, encoders, towers, files, metrics, parent, createdAt }
}

/**
 * Ids sort by their time and differ by their content: `viml-20261128-150322-1a2b3c4d`, in UTC.
 * @param files whose bytes make it, in this order.
 */
export function releaseIdOf(
  model: string,
  files: readonly { readonly bytes: Uint8Array }[],
  createdAt: string,
): string {
  const at = new Date(createdAt).toISOString() // 2026-11-28T15:03:22.000Z
  const [date, time] = [at.slice(0, 10), at.slice(11, 19)].map((part) => part.replaceAll(/\D/g, ''))
  const digest = createHash('sha256')
  for (const { bytes } of files) digest.update(bytes)
  return `${model.replaceAll(/[^a-z0-9]/g, '')}-${date}-${time}-${digest.digest('hex').slice(0, 8)}`
}

/** What a model does not read may have any width when it is trained, and has that of the encoder here. */
function releaseModel(
  { model, parameters, share }: TrainedModel & { readonly share: number },
  encoders: ReleaseManifest['encoders'],
): ReleaseModel {
  for (const modality of modalitiesOf(model)) {
    const { id, dims } = encoders[modality]
    if (model.widths[modality] === dims) continue
    throw badRelease(`a model takes ${modality} features of ${model.widths[modality]} dims, where ${id} gives ${dims}`)
  }
  const widths = { video: encoders.video.dims, music: encoders.music.dims, text: encoders.text.dims }
  return { config: { ...model, widths }, parameters, share }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function badRelease(what: string): SetupError {
  return new SetupError('bad-release', `No release can be made of these models: ${what}.`)
}
