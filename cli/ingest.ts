/** Takes files, folders and manifests in, and follows them through the stages. */
import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import pLimit from 'p-limit'
import { CuestreamError, InvalidRequestError } from '../ports/errors.ts'
import type { ApiClient, UploadView } from './api-client.ts'
import { type ManifestEntry, readManifest } from './manifest.ts'
import { progressBar, say } from './terminal.ts'

type Entry = Omit<ManifestEntry, 'line'>
export interface IngestReport {
  /** Of all that were accepted, also before. */
  readonly ids: readonly string[]
  readonly ready: number
  readonly duplicates: number
  readonly failed: readonly { readonly what: string; readonly code: string; readonly message: string }[]
}

const TRACKS = new Set(['.opus', '.ogg', '.oga', '.mp3', '.wav', '.flac', '.m4a', '.aac', '.aif', '.aiff'])
const VIDEOS = new Set(['.mp4', '.m4v', '.mov', '.mkv', '.webm', '.avi', '.ts', '.flv'])
const UPLOADS_AT_ONCE = 4
const POLL_MS = 200

/** @throws InvalidRequestError 'not-found' | 'bad-manifest' */
export async function entriesOf(path: string): Promise<readonly Entry[]> {
  const info = await stat(path).catch((cause) => {
    throw new InvalidRequestError('not-found', `There is no file or folder ${path}`, { cause })
  })
  if (path.endsWith('.jsonl')) return (await readManifest(path)).map(({ line: _, ...entry }) => entry)
  if (!info.isDirectory()) return [{ path }]
  const names = await readdir(path, { recursive: true, withFileTypes: true })
  return names
    .filter((entry) => entry.isFile() && kindOf(entry.name) !== undefined)
    .map((entry) => ({ path: join(entry.parentPath, entry.name) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** By the file's name; what it really is, the stages find out. */
export function kindOf(name: string): 'track' | 'video' | undefined {
  const extension = extname(name).toLowerCase()
  if (TRACKS.has(extension)) return 'track'
  return VIDEOS.has(extension) ? 'video' : undefined
}

/** Uploads all, then waits until each is ready or failed. One bad file stops no other. */
export async function ingest(api: ApiClient, entries: readonly Entry[], label: string): Promise<IngestReport> {
  const failed: { what: string; code: string; message: string }[] = []
  const ids: string[] = []
  const waiting = new Map<string, string>()
  let duplicates = 0
  let ready = 0
  const limit = pLimit(UPLOADS_AT_ONCE)
  await Promise.all(
    entries.map((entry) =>
      limit(async () => {
        const what = entry.path ?? entry.uri ?? ''
        try {
          const kind = entry.kind ?? kindOf(what)
          if (kind === undefined) {
            throw new InvalidRequestError('unknown-kind', `Is ${what} a track or a video? Say it with --kind`)
          }
          const upload = await api.submit({ ...entry, kind })
          if (upload.duplicate) duplicates++
          ids.push(upload.id)
          waiting.set(upload.id, what)
        } catch (error) {
          if (!(error instanceof CuestreamError)) throw error
          failed.push({ what, code: error.code, message: error.message })
        }
      }),
    ),
  )
  const bar = progressBar(label, waiting.size)
  const total = waiting.size
  try {
    while (waiting.size > 0) {
      const states = await Promise.all([...waiting.keys()].map((id) => stateOf(api, id)))
      for (const upload of states) {
        if (upload.state === 'failed') {
          const { code, message } = upload.failure!
          failed.push({ what: waiting.get(upload.id)!, code, message })
        } else if (upload.state === 'ready') ready++
        if (upload.state !== 'analysing') waiting.delete(upload.id)
      }
      bar.update(total - waiting.size, stageNote(states))
      if (waiting.size > 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } finally {
    bar.stop()
  }
  return { ids, ready, duplicates, failed }
}

/** An upload that is taken down while we wait has no state any more. */
async function stateOf(api: ApiClient, id: string): Promise<UploadView> {
  try {
    return await api.upload(id)
  } catch (error) {
    if (!(error instanceof CuestreamError) || error.code !== 'unknown-upload') throw error
    const failure = { stage: 'received', code: 'removed', message: 'It was taken down meanwhile' }
    return { id, kind: 'track', title: null, state: 'failed', stages: {}, failure }
  }
}

export function sayReport({ ready, duplicates, failed }: IngestReport): void {
  say(`${ready} ready${duplicates > 0 ? ` (${duplicates} were there before)` : ''}, ${failed.length} failed`)
  for (const { what, code, message } of failed) say(`  ${what}: ${code}: ${message}`)
}

function stageNote(uploads: readonly UploadView[]): string {
  return uploads.find(({ state }) => state === 'analysing')?.id ?? ''
}
