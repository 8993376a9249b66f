/**
 * Captions of people with what they are about, from a CSV file: columns `caption`, and `aspect_list` (a list of strings as
 * Python writes it, MusicCaps has it so) or `tags` (comma-separated). `id`, `ytid` or `track_id` names a row, else its line.
 * A row that cannot be read is told with its line, the one on which it ends.
 */
import { readFile } from 'node:fs/promises'
import { type CsvError, parse } from 'csv-parse/sync'
import { InvalidRequestError, SetupError } from '../../ports/errors.ts'
import { pythonStrings } from './python-list.ts'

export interface CaptionRow {
  readonly id: string
  readonly caption: string
  readonly aspects: readonly string[]
}

export interface CaptionRows {
  readonly rows: readonly CaptionRow[]
  readonly bad: readonly { readonly line: number; readonly reason: string }[]
}

/** @throws SetupError 'no-file'; InvalidRequestError 'bad-captions' where no row can be read. */
export async function readCaptions(path: string): Promise<CaptionRows> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new SetupError('no-file', `The captions ${path} cannot be read: ${cause.message}.`, { cause })
  })
  const result = captionRows(text)
  if (result.rows.length === 0) {
    const [first] = result.bad
    const why = first === undefined ? 'it has no rows' : `line ${first.line}: ${first.reason}`
    throw new InvalidRequestError('bad-captions', `No row of ${path} can be used: ${why}.`)
  }
  return result
}

const NAMES = ['id', 'ytid', 'track_id'] as const

/** @throws InvalidRequestError 'bad-captions' without the columns. */
export function captionRows(text: string): CaptionRows {
  const rows: CaptionRow[] = []
  const bad: { line: number; reason: string }[] = []
  let columns: readonly string[] | undefined
  const records = parse(text, {
    columns: (names: string[]) => {
      columns = names.map((name) => name.trim())
      return [...columns]
    },
    bom: true,
    skip_empty_lines: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    skip_records_with_error: true,
    on_skip: (error: (CsvError & { lines?: number }) | undefined) => {
      bad.push({ line: error?.lines ?? 0, reason: error?.message ?? 'it is no CSV' })
      return undefined
    },
  }) as unknown as { record: Record<string, string>; info: { lines: number } }[]
  const list = ['aspect_list', 'tags'].find((name) => columns?.includes(name))
  if (!columns?.includes('caption') || list === undefined) {
    throw new InvalidRequestError('bad-captions', 'The captions have no columns `caption` and `aspect_list` or `tags`.')
  }
  const named = NAMES.find((name) => columns?.includes(name))
  const taken = new Set<string>()
  for (const { record, info } of records) {
    const row = readRow(record, list)
    if (typeof row === 'string') {
      bad.push({ line: info.lines, reason: row })
      continue
    }
    const name = (named === undefined ? '' : record[named]!.trim()) || `line ${info.lines}`
    const id = taken.has(name) ? `${name}, line ${info.lines}` : name
    taken.add(id)
    rows.push({ id, ...row })
  }
  return { rows, bad: bad.sort((a, b) => a.line - b.line) }
}

/** @returns what is wrong with it, if something is. */
function readRow(record: Record<string, string>, list: string): Omit<CaptionRow, 'id'> | string {
  const caption = record.caption!.trim()
  if (caption === '') return 'caption is empty'
  const text = record[list]!
  if (list === 'tags') return { caption, aspects: trimmed(text.split(',')) }
  const strings = pythonStrings(text)
  return 'wrong' in strings ? `aspect_list: ${strings.wrong}` : { caption, aspects: trimmed(strings.strings) }
}

function trimmed(texts: readonly string[]): string[] {
  return texts.map((text) => text.trim()).filter((text) => text !== '')
}
