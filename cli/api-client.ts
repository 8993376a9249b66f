/** The HTTP API as the command line uses it. */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { InvalidRequestError, SetupError } from '../ports/errors.ts'
import type { ManifestEntry } from './manifest.ts'

export interface UploadView {
  readonly id: string
  readonly kind: 'track' | 'video'
  readonly title: string | null
  readonly state: 'analysing' | 'ready' | 'failed'
  readonly stages: Readonly<Record<string, number>>
  readonly failure: { readonly stage: string; readonly code: string; readonly message: string } | null
}

export interface RecommendationView {
  readonly release: string
  readonly total: number
  readonly results: readonly {
    readonly rank: number
    readonly score: number
    readonly track: {
      readonly id: string
      readonly title: string | null
      readonly artist: string | null
      readonly tags: readonly { readonly category: string; readonly tag: string; readonly confidence: number }[]
      readonly description: { readonly text: string } | null
      readonly tempo: { readonly bpm: number } | null
      readonly key: { readonly tonic: string; readonly mode: string } | null
    }
  }[]
}

export interface PipelineView {
  readonly release: string | null
  readonly counts: {
    readonly tracks: number
    readonly videos: number
    readonly uploads: number
    readonly failed: number
  }
  readonly stages: readonly {
    readonly name: string
    readonly state: string
    readonly lagRecords: number
    readonly inFlight: number
    readonly stalled: boolean
  }[]
}

export interface DeadLetterView {
  readonly position: string
  readonly key: string | null
  readonly stage: string
  readonly code: string
  readonly message: string
  readonly attempts: number
  readonly at: number
}

export interface RebuildView {
  readonly state: 'running' | 'done' | 'failed' | 'stopped'
  readonly phase: 'replaying' | 'comparing'
  readonly doneRecords: number
  readonly totalRecords: number
  readonly report: {
    readonly generation: string
    readonly indexes: readonly {
      readonly kind: string
      readonly release: string
      readonly rows: number
      readonly liveKeys: number
    }[]
    readonly letters: number
  } | null
  readonly failure: { readonly code: string; readonly message: string } | null
}

export interface ReleasesView {
  readonly serving: string
  readonly previous: string | null
  readonly trial: { readonly release: string; readonly share: number } | null
  readonly rollOut: {
    readonly release: string
    readonly state: 'running' | 'done' | 'failed' | 'cancelled'
    readonly phase: 'checking' | 'embedding' | 'comparing' | null
    readonly trialShare: number | null
    readonly doneRecords: number
    readonly totalRecords: number
    readonly failure: { readonly code: string; readonly message: string } | null
  } | null
  readonly releases: readonly {
    readonly release: string
    readonly model: string
    readonly roles: readonly string[]
    readonly metrics: Readonly<Record<string, number>>
    readonly createdAt: string
  }[]
  readonly unreadable: readonly { readonly release: string; readonly code: string; readonly message: string }[]
}

export interface TrainingSyncView {
  readonly state: 'running' | 'done' | 'failed' | 'stopped'
  readonly doneRecords: number
  readonly totalRecords: number
  readonly report: Readonly<Record<'triplets' | 'chosenPairs' | 'added' | 'removed' | 'unreadable', number>> | null
  readonly failure: { readonly code: string; readonly message: string } | null
}

export interface ApiClient {
  readonly url: string
  submit(entry: Omit<ManifestEntry, 'line'> & { kind: 'track' | 'video' }): Promise<UploadView & { duplicate: boolean }>
  upload(id: string): Promise<UploadView>
  recommend(query: Readonly<Record<string, unknown>>): Promise<RecommendationView>
  pipeline(): Promise<PipelineView>
  deadLetters(): Promise<readonly DeadLetterView[]>
  deadLetter(position: string): Promise<Readonly<Record<string, unknown>>>
  redrive(
    positions: readonly string[] | 'all',
  ): Promise<Readonly<Record<'redriven' | 'superseded' | 'incomplete', number>>>
  startRebuild(from: readonly string[]): Promise<RebuildView>
  rebuild(): Promise<RebuildView>
  stopRebuild(): Promise<RebuildView>
  startTrainingSync(): Promise<TrainingSyncView>
  trainingSync(): Promise<TrainingSyncView>
  stopTrainingSync(): Promise<TrainingSyncView>
  releases(): Promise<ReleasesView>
  rollOut(release: string, trialShare?: number): Promise<ReleasesView>
  cancelRollOut(): Promise<ReleasesView>
  rollBack(): Promise<ReleasesView>
  endTrial(): Promise<ReleasesView>
  removeRelease(release: string): Promise<ReleasesView>
}

/** @param signal ends every call when it is aborted. */
export function connectApi(url: string, signal?: AbortSignal): ApiClient {
  async function call<T>(method: string, path: string, body?: RequestInit & { duplex?: 'half' }): Promise<T> {
    let response: Response
    try {
      response = await fetch(new URL(path, url), { method, ...(signal ? { signal } : {}), ...body })
    } catch (cause) {
      throw new SetupError('unreachable', `Nothing answers at ${url}`, { cause })
    }
    const text = await response.text()
    const parsed = text === '' ? undefined : JSON.parse(text)
    if (response.ok) return parsed as T
    const { code = `http-${response.status}`, detail = response.statusText } = parsed ?? {}
    throw new InvalidRequestError(code, detail)
  }
  const json = (value: unknown) => ({ body: JSON.stringify(value), headers: { 'content-type': 'application/json' } })

  return {
    url,
    submit({ path, uri, territories, explicit, ...about }) {
      const fields = {
        ...about,
        ...(territories?.length ? { territories: territories.join(',') } : {}),
        ...(explicit === undefined ? {} : { explicit: String(explicit) }),
      }
      if (path === undefined) return call('POST', '/v1/uploads', json({ ...fields, uri }))
      return call('POST', '/v1/uploads', multipart(fields, path))
    },
    upload: (id) => call('GET', `/v1/uploads/${encodeURIComponent(id)}`),
    recommend: (query) => call('POST', '/v1/recommendations', json(query)),
    pipeline: () => call('GET', '/v1/pipeline'),
    deadLetters: async () => (await call<{ items: DeadLetterView[] }>('GET', '/v1/dead-letters')).items,
    deadLetter: (position) => call('GET', `/v1/dead-letters/${encodeURIComponent(position)}`),
    redrive: (positions) =>
      call('POST', '/v1/dead-letters/redrive', json(positions === 'all' ? { all: true } : { positions })),
    startRebuild: (from) => call('POST', '/v1/index/rebuild', json({ from })),
    rebuild: () => call('GET', '/v1/index/rebuild'),
    stopRebuild: () => call('DELETE', '/v1/index/rebuild'),
    startTrainingSync: () => call('POST', '/v1/training/sync'),
    trainingSync: () => call('GET', '/v1/training'),
    stopTrainingSync: () => call('DELETE', '/v1/training/sync'),
    releases: () => call('GET', '/v1/releases'),
    rollOut: (release, trialShare) =>
      call('POST', `/v1/releases/${encodeURIComponent(release)}/roll-out`, json({ trialShare })),
    cancelRollOut: () => call('DELETE', '/v1/releases/roll-out'),
    rollBack: () => call('POST', '/v1/releases/roll-back'),
    endTrial: () => call('DELETE', '/v1/releases/trial'),
    removeRelease: (release) => call('DELETE', `/v1/releases/${encodeURIComponent(release)}`),
  }
}

/** A form with the file last, streamed: a file of any size takes no memory. */
function multipart(fields: Readonly<Record<string, string | undefined>>, path: string) {
  const boundary = `cuestream-${crypto.randomUUID()}`
  const quoted = (text: string) => text.replace(/["\r\n]/g, (c) => encodeURIComponent(c))
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const [name, value] of Object.entries(fields)) {
      if (value === undefined) continue
      yield Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="${quoted(name)}"\r\n\r\n${value}\r\n`)
    }
    const name = quoted(basename(path))
    yield Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\ncontent-type: application/octet-stream\r\n\r\n`,
    )
    yield* createReadStream(path)
    yield Buffer.from(`\r\n--${boundary}--\r\n`)
  }
  return {
    body: ReadableStream.from(body()),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    duplex: 'half' as const,
  }
}
