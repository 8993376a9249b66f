/**
 * Pairs from a folder of .npy and CSV files:
 *
 *     visual.f16.npy   (n, dims) or (n, segments, dims), float16 or float32
 *     audio.f16.npy    the same of each video's sound
 *     items.csv        one line a row of both: row?, yt8m_id | id, labels? | text?, track?, artist?, weight?
 *
 * The text of a pair is its `text`, or its music labels (music-labels.ts; `labels` are parted by |), shuffled and joined
 * by commas: the method `tags`. Each of its variants is another shuffle, drawn from the seed and the id alone, so a text
 * does not change with the rows around it. A pair without music labels has the empty text.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { seededRandom, shuffled } from '../../model/random.ts'
import type { TextEncoder } from '../../ports/encoder.ts'
import { InvalidRecordError, SetupError } from '../../ports/errors.ts'
import { readCsv } from './csv.ts'
import { type EncodeTextsOptions, encodeTexts } from './encode-texts.ts'
import { isMusicLabel } from './music-labels.ts'
import { type NpyArray, readNpyFile } from './npy.ts'
import { checkPairs, type Pairs, type RaggedSequences, type Texts } from './pairs.ts'

export interface PairsFromFilesOptions extends EncodeTextsOptions {
  /** Without one, texts have no vectors. */
  readonly textEncoder?: TextEncoder | undefined
  /** Shuffles of each text; 4 by default. */
  readonly variants?: number | undefined
  /** Of the shuffles; 0 by default. */
  readonly seed?: number | undefined
  /** What is said of a pair with these music labels; '' for nothing. They are shuffled and joined if absent. */
  readonly wording?: ((labels: readonly string[], id: string, variant: number) => Promise<string>) | undefined
  readonly files?: { readonly video: string; readonly music: string; readonly items: string } | undefined
}

const FILES = { video: 'visual.f16.npy', music: 'audio.f16.npy', items: 'items.csv' }
const LABELS_APART = '|'

type Item = Readonly<Record<string, string>>

/** @throws SetupError 'no-file' | InvalidRecordError 'bad-npy' | 'bad-csv' | 'bad-pairs' | ShapeError */
export async function pairsFromFiles(folder: string, options: PairsFromFilesOptions = {}): Promise<Pairs> {
  const files = options.files ?? FILES
  const itemsPath = join(folder, files.items)
  const [video, music, items] = await Promise.all([
    readSequences(join(folder, files.video)),
    readSequences(join(folder, files.music)),
    readItems(itemsPath),
  ])
  for (const [name, { offsets }] of [[files.video, video] as const, [files.music, music] as const]) {
    if (offsets.length - 1 !== items.length) {
      throw badCsv(itemsPath, `it has ${items.length} rows, and ${name} has ${offsets.length - 1}`)
    }
  }
  const videoIds = items.map((item, row) => idOf(item, row, itemsPath))
  const pairs: Pairs = {
    count: items.length,
    video,
    music,
    texts: await textsOf(items, videoIds, options),
    videoIds,
    trackIds: items.map(({ track }, row) => track || videoIds[row]!),
    artists: items.map(({ artist }) => artist ?? ''),
    weights: Float32Array.from(items, ({ weight }) => (weight === undefined || weight === '' ? 1 : Number(weight))),
  }
  checkPairs(pairs)
  return pairs
}

async function readSequences(path: string): Promise<RaggedSequences> {
  const { shape, values }: NpyArray = await readNpyFile(path)
  const [count, segments, dims] = shape.length === 2 ? [shape[0]!, 1, shape[1]!] : shape
  if (count === undefined || segments === undefined || dims === undefined || shape.length > 3) {
    throw new InvalidRecordError(
      'bad-npy',
      `${path} has the shape (${shape.join(', ')}), not (n, dims) or (n, segments, dims).`,
    )
  }
  return { values, offsets: Uint32Array.from({ length: count + 1 }, (_, pair) => pair * segments), dims }
}

async function readItems(path: string): Promise<Item[]> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new SetupError('no-file', `${path} cannot be read: ${cause.message}.`, { cause })
  })
  try {
    return readCsv(text)
  } catch (cause) {
    throw badCsv(path, cause instanceof Error ? cause.message : String(cause))
  }
}

function idOf(item: Item, row: number, path: string): string {
  const id = item.id || item.yt8m_id
  if (!id) throw badCsv(path, `row ${row} has no id (column id or yt8m_id)`)
  if (item.row !== undefined && item.row !== `${row}`) {
    throw badCsv(path, `${id} is said to be row ${item.row} and stands in row ${row}; sort it by row`)
  }
  return id
}

/** The first shuffle of a text is its variant 0, which evaluation asks with. */
async function textsOf(
  items: readonly Item[],
  ids: readonly string[],
  { textEncoder, variants = 4, seed = 0, wording, ...encoding }: PairsFromFilesOptions,
): Promise<Texts | undefined> {
  if (items.every(({ labels, text }) => labels === undefined && text === undefined)) return undefined
  const table = new Map([['', 0]])
  const rows = new Uint32Array(items.length * variants)
  for (const [i, item] of items.entries()) {
    const parts = item.text ? [item.text] : (item.labels ?? '').split(LABELS_APART).filter(isMusicLabel)
    for (let variant = 0; variant < variants; variant++) {
      const shuffledParts = shuffled(parts, seededRandom(`${seed}/${ids[i]}/${variant}`))
      const text = wording === undefined ? shuffledParts.join(', ') : await wording(parts, ids[i]!, variant)
      if (!table.has(text)) table.set(text, table.size)
      rows[i * variants + variant] = table.get(text)!
    }
  }
  const strings = [...table.keys()]
  const vectors = textEncoder === undefined ? new Float32Array() : await encodeTexts(strings, textEncoder, encoding)
  return { strings, vectors, dims: textEncoder?.dims ?? 0, rows, variants }
}

function badCsv(path: string, what: string): InvalidRecordError {
  return new InvalidRecordError('bad-csv', `${path} cannot be used: ${what}.`)
}
