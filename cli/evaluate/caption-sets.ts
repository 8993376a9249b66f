/** The texts of every writer, read for tags: the rows of the tables. */
import type { Tag } from '../../schemas/types.ts'
import type { CaptionSet, CheckedText } from '../../trainer/evaluation/captions/caption-set.ts'
import { progressBar } from '../terminal.ts'
import type { CaptionRow } from './caption-rows.ts'
import { type CaptionWriter, type WrittenDescription, writeAll } from './caption-writers.ts'
import { readPeople, type TagReader } from './read-tags.ts'

export type TaggedCaption = CaptionRow & { readonly tags: readonly Tag[] }

const COLOURS: Readonly<Record<string, number>> = { prompt2text: 0, tags: 1, data2text: 2 }
const OTHER = 4

export function setOfPeople(rows: readonly TaggedCaption[]): CaptionSet {
  const texts = rows.map(({ caption, tags, aspects }) => ({ text: caption, ...readPeople(caption, tags, aspects) }))
  return { id: 'people', label: 'people', kind: 'people', colour: 5, texts }
}

/** @returns a set a writer; of prompt2text two, what the model wrote first and what left after checks and fallbacks. */
export async function setsOfWriters(
  writers: readonly CaptionWriter[],
  rows: readonly TaggedCaption[],
  read: TagReader,
): Promise<{ sets: CaptionSet[]; generators: string[] }> {
  const sets: CaptionSet[] = []
  const generators: string[] = []
  for (const writer of writers) {
    const { method } = writer
    const bar = progressBar(`Texts by ${method}`, rows.length)
    const { descriptions, cost } = await writeAll(writer, rows, (done) => bar.update(done, ''))
    bar.stop()
    const own = descriptions.filter((description) => description.method === method)
    generators.push(
      `${method} (${[...new Set(own.map(({ generator }) => generator))].join(', ') || 'no text of its own'})`,
    )
    if (method === 'prompt2text') {
      const texts = descriptions.map((description, row) => firstDraft(description, rows[row]!.tags, read))
      sets.push({ id: 'prompt2text-first', label: 'prompt2text, unchecked', kind: 'draft', colour: 3, texts })
    }
    const texts = descriptions.map((description, row) => finalText(description, method, rows[row]!.tags, read))
    sets.push({ id: method, label: method, kind: 'method', colour: COLOURS[method] ?? OTHER, texts, cost })
  }
  return { sets, generators }
}

/** What left, after checks and fallbacks. @param asked method that the writer was asked for. */
export function finalText(
  { text, method, fallback }: WrittenDescription,
  asked: string,
  tags: readonly Tag[],
  read: TagReader,
): CheckedText {
  const checked = { text, ...read(text, tags) }
  if (fallback === undefined && method === asked) return checked
  const { code, faults } = fallback ?? { code: 'not-possible', faults: [] }
  return { ...checked, fallback: { method, code, faults } }
}

/** What the model wrote first, whatever became of it; none where it wrote nothing. */
export function firstDraft(
  { text, fallback, rejected = [] }: WrittenDescription,
  tags: readonly Tag[],
  read: TagReader,
): CheckedText | undefined {
  const first = rejected[0]?.text ?? (fallback === undefined ? text : undefined)
  return first === undefined ? undefined : { text: first, ...read(first, tags) }
}
