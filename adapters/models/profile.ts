/**
 * Profile manifest: which files make the three frozen encoders, and how their inputs and outputs are laid out.
 * `models/profiles/<id>.json`. An encoder is made from its manifest alone, so a profile changes without code.
 *
 * Invariants, checked here:
 *   [files]    an encoder names only files of the profile
 *   [columns]  the column ranges of an encoder lie side by side, from 0 to its dims
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { SetupError } from '../../ports/errors.ts'

/** One path segment: nothing that could leave the folder of the profile. */
const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const encoderId = z.string().regex(/^[a-z0-9][a-z0-9.-]*@[0-9]+$/)
const dims = z.int().positive()
const perChannel = z.tuple([z.number(), z.number(), z.number()])

const profileFile = z.strictObject({
  name: fileName,
  /** Where `models pull` gets it; null for a file that comes with the repository or from the operator. */
  url: z.url({ protocol: /^https$/ }).nullable(),
  /** null where it could not be verified: the first pull records the hash that it saw in lock.json. */
  sha256: sha256.nullable(),
  bytes: z.int().positive().nullable(),
  /** SPDX identifier. */
  licence: z.string(),
  /** Where it comes from, in words. */
  source: z.string(),
})

/** Values of a row that come from one output of a graph: [from, to). */
const columnRanges = z.record(z.string(), z.tuple([z.int().nonnegative(), z.int().positive()]))

/** Where labels are: a JSON array of strings, or the array under `key` of a JSON object. */
const labelsFile = z.strictObject({ file: fileName, key: z.string().optional() })

const graphOutput = z.strictObject({ output: z.string(), dims })

const imageTower = z.strictObject({
  kind: z.literal('image-tower'),
  id: encoderId,
  file: fileName,
  input: z.string(),
  preprocessing: z.strictObject({
    framesPerSecond: z.number().positive(),
    /** Frames come squashed to this square by the decoder (ports/media.ts). */
    size: z.literal(224),
    resize: z.literal('squash'),
    /** How the tower's training pictures were cut, where it differs. */
    trainedWith: z.string(),
    /** Input = (byte × scale − mean) / std, by channel R, G, B, as planes (N, 3, 224, 224). */
    scale: z.number().positive(),
    mean: perChannel,
    std: perChannel,
  }),
  /** Outputs that make a row, by the name of their columns. */
  outputs: z.record(z.string(), graphOutput),
  columns: columnRanges,
  /** Names of the `classes` columns. */
  labels: labelsFile.nullable(),
})

const musicTagger = z.strictObject({
  kind: z.literal('music-tagger'),
  id: encoderId,
  preprocessing: z.strictObject({
    /** The port's rate (ports/encoder.ts). */
    sampleRateHz: z.literal(16_000),
    patchSamples: z.int().positive(),
  }),
  taggers: z
    .array(
      z.strictObject({
        /** Name of the tagger's columns. */
        name: z.string(),
        /** Put before each of its labels, so that those of several taggers stay apart. */
        labelPrefix: z.string(),
        file: fileName,
        input: z.string(),
        embedding: graphOutput,
        tags: graphOutput,
        labels: labelsFile,
      }),
    )
    .min(1),
  columns: columnRanges,
  /**
   * How the labels become tags of the vocabulary: a mapping that comes with the product, or a file of the profile
   * (docs/vocabulary.md). The mapping is checked where the encoder is put to use.
   */
  mapping: z.union([z.enum(['musicnn', 'mtg-jamendo', 'by-name']), z.strictObject({ file: fileName })], {
    error: 'must be "musicnn", "mtg-jamendo", "by-name" or { "file": "<a file of the profile>" }',
  }),
})

const textTower = z.strictObject({
  kind: z.literal('text-tower'),
  id: encoderId,
  file: fileName,
  inputs: z.strictObject({
    ids: z.string(),
    /** Fed where the graph has an input of that name. */
    mask: z.string(),
  }),
  output: graphOutput,
  tokenizer: z.strictObject({
    file: fileName,
    config: fileName,
    /** With the start and end tokens. */
    maxTokens: z.int().min(3),
    /** Fills shorter texts up to a fixed length, masked out; null for a graph that takes any length. */
    padding: z.strictObject({ token: z.string(), length: z.int().positive() }).nullable(),
  }),
})

const profileSchema = z
  .strictObject({
    id: z.string().regex(/^[a-z0-9][a-z0-9-]*$/),
    description: z.string(),
    /** True where the files come with the repository, under models/<id>. */
    bundled: z.boolean(),
    files: z.array(profileFile).min(1),
    encoders: z.strictObject({ video: imageTower, music: musicTagger, text: textTower }),
  })
  .superRefine((profile, context) => {
    const complain = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message })
    const known = new Set(profile.files.map((file) => file.name))
    if (known.size !== profile.files.length) complain(['files'], 'names a file twice')
    for (const [name, encoder] of Object.entries(profile.encoders)) {
      for (const file of encoderFiles(encoder)) {
        if (!known.has(file)) complain(['encoders', name], `uses the file "${file}", which is not in "files"`)
      }
    }
    const { video, music } = profile.encoders
    checkColumns(video.columns, Object.entries(video.outputs), (text) =>
      complain(['encoders', 'video', 'columns'], text),
    )
    const embeddings = music.taggers.map(({ name, embedding }) => [name, embedding] as const)
    checkColumns(music.columns, embeddings, (text) => complain(['encoders', 'music', 'columns'], text))
  })

export type Profile = z.infer<typeof profileSchema>
export type ProfileFile = Profile['files'][number]
export type ImageTowerManifest = z.infer<typeof imageTower>
export type MusicTaggerManifest = z.infer<typeof musicTagger>
export type TextTowerManifest = z.infer<typeof textTower>
export type ColumnRanges = Readonly<Record<string, readonly [from: number, to: number]>>

/** Names of the files that an encoder's outputs depend on. */
export function encoderFiles(encoder: ImageTowerManifest | MusicTaggerManifest | TextTowerManifest): readonly string[] {
  switch (encoder.kind) {
    case 'image-tower':
      return encoder.labels === null ? [encoder.file] : [encoder.file, encoder.labels.file]
    case 'music-tagger':
      return [
        ...new Set([
          ...encoder.taggers.flatMap(({ file, labels }) => [file, labels.file]),
          ...(typeof encoder.mapping === 'string' ? [] : [encoder.mapping.file]),
        ]),
      ]
    case 'text-tower':
      return [encoder.file, encoder.tokenizer.file, encoder.tokenizer.config]
  }
}

/** @throws SetupError 'bad-profile' listing every fault. */
export function parseProfile(value: unknown, origin: string): Profile {
  const parsed = profileSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map(({ path: where, message }) => `  ${where.join('.') || '(whole)'}: ${message}`)
  throw new SetupError('bad-profile', `The profile manifest ${origin} is not valid:\n${faults.join('\n')}`)
}

/**
 * @param profile an id, found as `<repositoryModels>/profiles/<id>.json`, or the path of a manifest of one's own (*.json).
 * @throws SetupError 'unknown-profile' | 'bad-profile'
 */
export async function readProfile(profile: string, repositoryModels: string): Promise<Profile> {
  const byPath = profile.endsWith('.json')
  if (!byPath && !/^[a-z0-9][a-z0-9-]*$/.test(profile)) throw unknownProfile(profile)
  const manifestPath = byPath ? profile : path.join(repositoryModels, 'profiles', `${profile}.json`)
  let text: string
  try {
    text = await readFile(manifestPath, 'utf8')
  } catch (cause) {
    throw unknownProfile(profile, cause)
  }
  try {
    return parseProfile(JSON.parse(text), manifestPath)
  } catch (cause) {
    if (cause instanceof SetupError) throw cause
    throw new SetupError('bad-profile', `The profile manifest ${manifestPath} is not JSON.`, { cause })
  }
}

function unknownProfile(profile: string, cause?: unknown): SetupError {
  const message = `There is no encoder profile "${profile}". Give "embedded", "paper" or the path of a manifest (*.json).`
  return new SetupError('unknown-profile', message, { cause })
}

/** [columns] */
function checkColumns(
  columns: ColumnRanges,
  outputs: readonly (readonly [string, { readonly dims: number }])[],
  complain: (text: string) => void,
): void {
  let start = 0
  for (const [name, output] of outputs) {
    const range = columns[name]
    if (range?.[0] !== start || range[1] !== start + output.dims) {
      complain(
        `"${name}" must be [${start}, ${start + output.dims}], as its output comes next and has that many values`,
      )
    }
    start += output.dims
  }
  for (const name of Object.keys(columns)) {
    if (!outputs.some(([output]) => output === name)) complain(`"${name}" is no output`)
  }
}
