/**
 * Downloads one file: resumable, hashed while it streams, put in place only when it is whole and right.
 *
 * On disk: `<file>.part` grows; `<file>.part.json` says which URL and which version of it (ETag) that part is of; a
 * rename puts the file in place.
 *
 * Invariants:
 *   [whole]    `<file>` never exists with other content than the hash and size expected of it
 *   [resume]   what arrived is asked for again only if the server's file changed or the hash was wrong in the end
 *   [bounded]  a server can neither fill the disk, nor hold the pull for ever, nor send it from https to http
 */
import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import pRetry from 'p-retry'
import { z } from 'zod'
import { RetryableError, SetupError } from '../../ports/errors.ts'

export interface DownloadRequest {
  readonly url: string
  readonly path: string
  /** null if any is taken. */
  readonly sha256: string | null
  readonly bytes: number | null
  /** Where `bytes` is null. */
  readonly limitBytes: number
  readonly signal?: AbortSignal | undefined
  /** @param totalBytes null where the server does not say. */
  onProgress?(receivedBytes: number, totalBytes: number | null): void
}

export interface DownloadPatience {
  /** Silence after which a connection is given up. */
  readonly stallTimeoutMs: number
  /** Attempts after the first. */
  readonly retries: number
  /** Before the second attempt; doubles, with jitter, up to a minute. */
  readonly retryDelayMs: number
}

export const defaultPatience: DownloadPatience = { stallTimeoutMs: 30_000, retries: 6, retryDelayMs: 1000 }
const longestWaitMs = 60_000
const maxRedirects = 5

const partStateSchema = z.strictObject({ url: z.string(), validator: z.string().nullable() })
type PartState = z.infer<typeof partStateSchema>

/**
 * @returns hash and size of the file that is now in place.
 * @throws SetupError 'model-tampered' (another hash or size) | 'model-too-large' | 'pull-refused' | 'pull-redirect' | 'pull-failed', or the signal's reason.
 */
export async function downloadFile(
  request: DownloadRequest,
  patience: DownloadPatience = defaultPatience,
): Promise<{ sha256: string; bytes: number }> {
  try {
    return await pRetry(() => attempt(request, patience), {
      retries: patience.retries,
      minTimeout: patience.retryDelayMs,
      maxTimeout: longestWaitMs,
      randomize: true,
      signal: request.signal,
      shouldRetry: ({ error }) => error instanceof RetryableError,
      onFailedAttempt: async ({ error, retriesLeft }) => {
        const wait = error instanceof RetryableError ? error.retryAfterMs : undefined
        if (wait !== undefined && retriesLeft > 0) {
          await delay(Math.min(wait, longestWaitMs), undefined, { signal: request.signal })
        }
      },
    })
  } catch (cause) {
    request.signal?.throwIfAborted()
    if (cause instanceof SetupError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `${request.url} could not be downloaded: ${reason} What arrived is kept; run the pull again to go on.`
    throw new SetupError('pull-failed', message, { cause })
  }
}

async function attempt(
  request: DownloadRequest,
  patience: DownloadPatience,
): Promise<{ sha256: string; bytes: number }> {
  const stall = new AbortController()
  const signals = request.signal === undefined ? [stall.signal] : [stall.signal, request.signal]
  const watchdog = setTimeout(() => stall.abort(), patience.stallTimeoutMs)
  const part = new PartFile(request)
  try {
    const kept = await part.open()
    const response = await ask(request, kept, AbortSignal.any(signals))
    const { offset, totalBytes } = await accept(request, response, kept, part)
    await part.startAt(offset, { url: request.url, validator: validatorOf(response) })
    request.onProgress?.(offset, totalBytes)
    for await (const chunk of response.body ?? []) {
      watchdog.refresh()
      await part.append(chunk)
      if (part.bytes > (totalBytes ?? request.limitBytes)) {
        await part.discard()
        throw tooLong(request, totalBytes)
      }
      request.onProgress?.(part.bytes, totalBytes)
    }
    if (totalBytes !== null && part.bytes < totalBytes) {
      throw new RetryableError('pull-cut', `it ended after ${part.bytes} of ${totalBytes} bytes.`)
    }
    return await part.finish(offset > 0)
  } catch (cause) {
    request.signal?.throwIfAborted()
    if (cause instanceof SetupError || cause instanceof RetryableError) throw cause
    if (stall.signal.aborted) {
      throw new RetryableError('pull-stalled', `nothing came for ${patience.stallTimeoutMs} ms.`, { cause })
    }
    if (isDiskError(cause))
      throw new SetupError('pull-failed', `${request.path} could not be written: ${cause.message}`, { cause })
    throw new RetryableError('pull-cut', `the connection broke (${describe(cause)}).`, { cause })
  } finally {
    clearTimeout(watchdog)
    stall.abort() // lets go of a body that was not read to its end
    await part.close()
  }
}

/** Asks for the file, or for the rest of it. Redirects lead to https only, or stay with the server that was named. */
async function ask(request: DownloadRequest, kept: KeptPart | undefined, signal: AbortSignal): Promise<Response> {
  // Bytes must be the file's own, else neither the ranges nor the sizes mean anything.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (kept !== undefined) {
    headers.range = `bytes=${kept.bytes}-`
    if (kept.validator !== null) headers['if-range'] = kept.validator
  }
  let url = new URL(request.url)
  for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
    const response = await fetch(url, { headers, signal, redirect: 'manual' })
    const location = response.headers.get('location')
    if (response.status < 300 || response.status >= 400 || location === null) return response
    await response.body?.cancel()
    const next = new URL(location, url)
    if (next.protocol !== 'https:' && next.origin !== new URL(request.url).origin) {
      throw new SetupError(
        'pull-redirect',
        `${request.url} redirects to ${next.origin}, which is not https. It was not followed.`,
      )
    }
    url = next
  }
  throw new SetupError('pull-redirect', `${request.url} redirects more than ${maxRedirects} times.`)
}

/** @returns where the answer's bytes begin, and how long the file is. @throws for every answer that holds no such bytes. */
async function accept(
  request: DownloadRequest,
  response: Response,
  kept: KeptPart | undefined,
  part: PartFile,
): Promise<{ offset: number; totalBytes: number | null }> {
  const { status, headers } = response
  if (status === 416 && kept !== undefined) {
    await part.discard()
    throw new RetryableError('pull-range', 'the server has no such range; it is asked for the whole file.')
  }
  if (status === 408 || status === 429 || status >= 500) {
    throw new RetryableError('pull-busy', `the server answered ${status}.`, retryAfter(headers.get('retry-after')))
  }
  if (status !== 200 && status !== 206) {
    const message = `${request.url} answered ${status}. Correct its URL in the profile, or name a mirror that has it.`
    throw new SetupError('pull-refused', message)
  }
  const encoding = headers.get('content-encoding') ?? 'identity'
  if (encoding !== 'identity') {
    throw new SetupError(
      'pull-refused',
      `${request.url} answers with content-encoding ${encoding}, which was not asked for.`,
    )
  }
  const { offset, totalBytes } = status === 206 ? rangeOf(headers) : { offset: 0, totalBytes: lengthOf(headers) }
  if (offset !== (status === 206 ? (kept?.bytes ?? 0) : 0)) {
    await part.discard()
    throw new RetryableError('pull-range', 'the server sent another range than was asked for.')
  }
  if (totalBytes !== null && request.bytes !== null && totalBytes !== request.bytes) {
    const message = `${request.url} has ${totalBytes} bytes, but ${request.bytes} is right: it is another file.`
    throw new SetupError('model-tampered', message)
  }
  if (totalBytes !== null && totalBytes > request.limitBytes) throw tooLong(request, null)
  return { offset, totalBytes: totalBytes ?? request.bytes }
}

interface KeptPart {
  readonly bytes: number
  readonly validator: string | null
}

/** The part on disk and the hash of what is in it. */
class PartFile {
  readonly #request: DownloadRequest
  readonly #path: string
  readonly #statePath: string
  #handle: FileHandle | undefined
  #hash: Hash = createHash('sha256')
  bytes = 0

  constructor(request: DownloadRequest) {
    this.#request = request
    this.#path = `${request.path}.part`
    this.#statePath = `${request.path}.part.json`
  }

  /** @returns what can be resumed: it is of this URL, and its version or the final hash is known. */
  async open(): Promise<KeptPart | undefined> {
    const state = await this.#readState()
    const size = await stat(this.#path).then(
      (stats) => stats.size,
      () => 0,
    )
    const resumable = state?.url === this.#request.url && (state.validator !== null || this.#request.sha256 !== null)
    const fits = size > 0 && size < (this.#request.bytes ?? this.#request.limitBytes)
    if (state !== undefined && resumable && fits) return { bytes: size, validator: state.validator }
    await this.discard()
    return undefined
  }

  async startAt(offset: number, state: PartState): Promise<void> {
    this.#hash = createHash('sha256')
    if (offset > 0)
      for await (const chunk of createReadStream(this.#path, { end: offset - 1 })) this.#hash.update(chunk)
    await writeFile(this.#statePath, JSON.stringify(state))
    this.#handle = await open(this.#path, offset > 0 ? 'r+' : 'w')
    this.bytes = offset
  }

  async append(chunk: Uint8Array): Promise<void> {
    let written = 0
    while (written < chunk.byteLength) {
      const left = chunk.byteLength - written
      written += (await this.#handle!.write(chunk, written, left, this.bytes + written)).bytesWritten
    }
    this.#hash.update(chunk)
    this.bytes += chunk.byteLength
  }

  /** [whole] @param resumed a wrong hash may then come from a mix of two versions, so that a fresh start is worth it. */
  async finish(resumed: boolean): Promise<{ sha256: string; bytes: number }> {
    const { sha256: expected, path, url, bytes } = this.#request
    const sha256 = this.#hash.digest('hex')
    if (bytes !== null && this.bytes !== bytes) {
      await this.discard()
      throw new RetryableError('pull-size', `the server sent ${this.bytes} bytes, the profile names ${bytes}.`)
    }
    if (expected !== null && sha256 !== expected) {
      await this.discard()
      if (resumed) throw new RetryableError('pull-mixed', 'the resumed file has a wrong hash; it is fetched anew.')
      const message = `${url} has sha256 ${sha256}, but ${expected} is right. Nothing was kept: the file was changed at its source, or on the way.`
      throw new SetupError('model-tampered', message)
    }
    await this.#handle!.sync()
    await this.close()
    await rename(this.#path, path)
    await rm(this.#statePath, { force: true })
    return { sha256, bytes: this.bytes }
  }

  async discard(): Promise<void> {
    await this.close()
    await rm(this.#path, { force: true })
    await rm(this.#statePath, { force: true })
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  async #readState(): Promise<PartState | undefined> {
    try {
      return partStateSchema.parse(JSON.parse(await readFile(this.#statePath, 'utf8')))
    } catch {
      return undefined // none, or cut while it was written: the part cannot be trusted
    }
  }
}

function tooLong(request: DownloadRequest, totalBytes: number | null): SetupError {
  const limit = totalBytes ?? request.limitBytes
  const message = `${request.url} sends more than ${limit} bytes, which is its own length or the limit. Nothing was kept.`
  return new SetupError('model-too-large', message)
}

/** What If-Range may carry: a strong ETag, or else the date of the last change. */
function validatorOf(response: Response): string | null {
  const etag = response.headers.get('etag')
  return etag !== null && !etag.startsWith('W/') ? etag : response.headers.get('last-modified')
}

function lengthOf(headers: Headers): number | null {
  const length = headers.get('content-length')
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null
}

function rangeOf(headers: Headers): { offset: number; totalBytes: number | null } {
  const match = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers.get('content-range') ?? '')
  return { offset: match ? Number(match[1]) : -1, totalBytes: match && match[2] !== '*' ? Number(match[2]) : null }
}

/** Seconds or a date, as HTTP has it. */
function retryAfter(header: string | null): { retryAfterMs?: number } {
  if (header === null) return {}
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) && ms > 0 ? { retryAfterMs: ms } : {}
}

function isDiskError(cause: unknown): cause is NodeJS.ErrnoException {
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? ''
  return ['ENOSPC', 'EACCES', 'EROFS', 'EDQUOT', 'EIO', 'ENOENT', 'EISDIR', 'EPERM'].includes(code)
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
}
