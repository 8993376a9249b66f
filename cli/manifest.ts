import { lstat, readFile, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path'
import { z } from 'zod'
import { InvalidRequestError } from '../ports/errors.ts'

/**
 * One line of the file that `cuestream ingest manifest.jsonl` reads: a JSON object that names one medium.
 *
 *     {"path": "music/dawn.opus", "kind": "track", "title": "Dawn", "artist": "A. Composer", "licence": "CC BY 4.0"}
 *
 * Exactly one of `path` (relative to the manifest) and `uri` (https, on the operator's list). All else is optional;
 * without `kind` the file name's extension decides. Blank lines are skipped. A key that is not listed
 * here is an error, since it is most likely a slip.
 */
export const manifestLine = z
  .strictObject({
    path: z.string().min(1).optional(),
    uri: z.url({ protocol: /^https$/ }).optional(),
    kind: z.enum(['track', 'video']).optional(),
    /** Upload id; the same id with other content is refused. Without it, the content's hash is the id. */
    id: z
      .string()
      .regex(
        /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
        'must be 1–128 of A–Z a–z 0–9 . _ - and begin with a letter or digit',
      )
      .optional(),
    title: z.string().max(300).optional(),
    artist: z.string().max(300).optional(),
    owner: z.string().max(300).optional(),
    /** As its owner writes it, e.g. an SPDX id. */
    licence: z.string().max(300).optional(),
    /** Where it may be used, ISO 3166-1 alpha-2; absent or empty means everywhere. */
    territories: z.array(z.string().regex(/^[A-Z]{2}$/, 'must be two capital letters')).optional(),
    explicit: z.boolean().optional(),
  })
  .refine(({ path, uri }) => (path === undefined) !== (uri === undefined), 'needs either path or uri')

export type ManifestLine = z.infer<typeof manifestLine>

/** With `path` made absolute. */
export interface ManifestEntry extends ManifestLine {
  readonly line: number
}

/**
 * Reads a manifest whole. A path must stay inside the manifest's folder, links followed; `allowAbsolutePaths` lifts that.
 * @throws InvalidRequestError 'bad-manifest' naming every line that is wrong (the first 20), before anything is ingested.
 */
export async function readManifest(
  file: string,
  { allowAbsolutePaths = false }: { allowAbsolutePaths?: boolean } = {},
): Promise<readonly ManifestEntry[]> {
  const folder = await realpath(dirname(resolve(file)))
  const entries: ManifestEntry[] = []
  const problems: string[] = []
  const firstLineOf = new Map<string, number>()
  for (const [index, text] of (await readFile(file, 'utf8'))
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = index + 1
    if (text.trim() === '') continue
    try {
      const entry = parseLine(text)
      if (entry.id !== undefined) {
        const earlier = firstLineOf.get(entry.id)
        if (earlier !== undefined) throw new Error(`id ${entry.id} is on line ${earlier} already`)
        firstLineOf.set(entry.id, line)
      }
      const path = entry.path === undefined ? {} : { path: await locate(entry.path, folder, allowAbsolutePaths) }
      entries.push({ ...entry, ...path, line })
    } catch (error) {
      problems.push(`line ${line}: ${(error as Error).message}`)
    }
  }
  if (problems.length > 0) {
    const more = problems.length > 20 ? [`and ${problems.length - 20} more`] : []
    throw new InvalidRequestError('bad-manifest', [`${file}:`, ...problems.slice(0, 20), ...more].join('\n'))
  }
  return entries
}

function parseLine(text: string): ManifestLine {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('is not JSON')
  }
  const parsed = manifestLine.safeParse(value)
  if (parsed.success) return parsed.data
  throw new Error(parsed.error.issues.map(({ path, message }) => [path.join('.'), message].join(' ').trim()).join('; '))
}

async function locate(path: string, folder: string, allowAbsolutePaths: boolean): Promise<string> {
  const absolute = resolve(folder, path)
  if (!allowAbsolutePaths && isOutside(folder, absolute)) throw new Error(`path ${path} leaves the manifest's folder`)
  const found = await realpath(absolute).catch(() => undefined)
  if (found === undefined) throw new Error(`path ${path} is not there`)
  if (!allowAbsolutePaths && isOutside(folder, found))
    throw new Error(`path ${path} is a link out of the manifest's folder`)
  if (!(await lstat(found)).isFile()) throw new Error(`path ${path} is not a file`)
  return found
}

function isOutside(folder: string, path: string): boolean {
  const way = relative(folder, path)
  return way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)
}
