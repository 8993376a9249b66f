/**
 * Objects of one bucket of an S3-compatible service: what the model store needs of it, tried again while that may help.
 *
 * Fails: OutageError 'model-store-unavailable' when the tries are used up; SetupError 'model-store-refused' for a bucket
 * that is not there, credentials that do not do, and a server that does not speak S3.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import pRetry from 'p-retry'
import { OutageError, RetryableError, SetupError } from '../../ports/errors.ts'
import { bytesOf, type S3Address, type S3Patience, S3Refusal, type S3Request, sendS3 } from './s3-request.ts'
import { elementsOf } from './s3-xml.ts'

export const defaultPatience: S3Patience = {
  idleMs: 10_000,
  answerMs: 30_000,
  leastBytesPerSecond: 64 * 1024,
  retries: 4,
  retryDelayMs: 250,
}

export interface LocalFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

const MAX_PAGE_BYTES = 8 * 1024 * 1024
/** Of up to 1,000 keys each, some four a release. */
const MAX_PAGES = 100
const LONGEST_WAIT_MS = 20_000

/** What to do about a refusal, by S3's error code. */
const ADVICE: Readonly<Record<string, string>> = {
  NoSuchBucket: 'create the bucket, or correct modelStoreUrl',
  AccessDenied: 'let the key list this bucket, and read, write and delete its objects',
  InvalidAccessKeyId: 'check the access key',
  SignatureDoesNotMatch: 'check the secret key',
  AuthorizationHeaderMalformed: 'correct modelStoreRegion',
  PermanentRedirect: 'correct modelStoreRegion or modelStoreEndpoint',
  RequestTimeTooSkewed: 'set the clock of this machine',
}

export class S3Bucket {
  /** Fit for messages. */
  readonly name: string
  readonly #address: S3Address
  readonly #patience: S3Patience

  constructor(address: S3Address, patience: S3Patience = defaultPatience) {
    this.name = `s3://${address.bucket} at ${new URL(address.endpoint).host}`
    this.#address = address
    this.#patience = patience
  }

  /** @returns at most maxBytes + 1 bytes of the object; undefined if there is none. */
  read(key: string, maxBytes: number): Promise<Buffer | undefined> {
    return this.#tried(
      { method: 'GET', key, answerBytes: maxBytes },
      async (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        for await (const chunk of bytesOf(response)) {
          chunks.push(chunk)
          bytes += chunk.length
          if (bytes > maxBytes) break
        }
        return Buffer.concat(chunks).subarray(0, maxBytes + 1)
      },
      { NoSuchKey: undefined },
    )
  }

  /** Writes the object to the file. @returns what is wrong with it, if anything. */
  download(key: string, { path, bytes, sha256 }: LocalFile): Promise<string | undefined> {
    return this.#tried(
      { method: 'GET', key, answerBytes: bytes },
      async (response) => {
        const file = await open(path, 'w')
        try {
          const hash = createHash('sha256')
          let read = 0
          for await (const chunk of bytesOf(response)) {
            read += chunk.length
            if (read > bytes) return `is longer than the ${bytes} bytes of the manifest`
            hash.update(chunk)
            await file.writeFile(chunk)
          }
          if (read < bytes) return `has ${read} bytes, not ${bytes}`
          return hash.digest('hex') === sha256 ? undefined : 'has another sha256 than the manifest'
        } finally {
          await file.close()
        }
      },
      { NoSuchKey: 'is missing' },
    )
  }

  /** Puts a file there, in place of what there may be. The service refuses other bytes than the hash says. */
  async upload(key: string, { path, bytes, sha256 }: LocalFile): Promise<void> {
    await this.#tried({ method: 'PUT', key, body: { from: { path }, bytes, sha256 }, answerBytes: 0 }, async () => {})
  }

  /**
   * Puts an object there if there is none. A service that knows no conditions replaces what there may be: look at what
   * stands there then.
   */
  async create(key: string, content: Buffer): Promise<void> {
    const sha256 = createHash('sha256').update(content).digest('hex')
    const request = {
      method: 'PUT',
      key,
      body: { from: content, bytes: content.length, sha256 },
      answerBytes: 0,
    } as const
    const outcome = await this.#tried({ ...request, headers: { 'if-none-match': '*' } }, async () => 'done' as const, {
      PreconditionFailed: 'done',
      NotImplemented: 'unconditional',
    })
    if (outcome === 'unconditional') await this.#tried(request, async () => {})
  }

  /** All keys that begin with the prefix. */
  async keys(prefix: string): Promise<string[]> {
    const keys: string[] = []
    let token: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const query = { 'list-type': '2', prefix, ...(token === undefined ? {} : { 'continuation-token': token }) }
      const xml = await this.#tried({ method: 'GET', query, answerBytes: MAX_PAGE_BYTES }, async (response) => {
        let text = ''
        for await (const chunk of bytesOf(response)) {
          text += chunk.toString('latin1') // keys of ours are ASCII
          if (text.length > MAX_PAGE_BYTES) break
        }
        return text
      })
      if (!xml.includes('<ListBucketResult') || !xml.trimEnd().endsWith('</ListBucketResult>')) {
        throw this.#refused('gave no list of its objects', 'correct modelStoreEndpoint')
      }
      keys.push(...elementsOf(xml, 'Key'))
      token = elementsOf(xml, 'NextContinuationToken')[0]
      if (elementsOf(xml, 'IsTruncated')[0] !== 'true' || token === undefined) return keys
    }
    throw this.#refused(
      `lists more than ${MAX_PAGES} pages under ${prefix}`,
      'choose a prefix that is used for nothing else',
    )
  }

  /** Idempotent. */
  async delete(key: string): Promise<void> {
    await this.#tried({ method: 'DELETE', key, answerBytes: 0 }, async () => {}, { NoSuchKey: undefined })
  }

  /** @param expected what a refusal with this code means to the caller. */
  async #tried<T>(
    request: S3Request,
    read: Parameters<typeof sendS3<T>>[3],
    expected: Readonly<Record<string, T>> = {},
  ): Promise<T> {
    const { retries, retryDelayMs } = this.#patience
    try {
      return await pRetry(() => sendS3(this.#address, request, this.#patience, read), {
        retries,
        minTimeout: retryDelayMs,
        maxTimeout: LONGEST_WAIT_MS,
        randomize: true,
        shouldRetry: ({ error }) => error instanceof RetryableError,
        onFailedAttempt: async ({ error, retriesLeft }) => {
          const asked = error instanceof RetryableError ? error.retryAfterMs : undefined
          if (asked !== undefined && retriesLeft > 0) await delay(Math.min(asked, LONGEST_WAIT_MS))
        },
      })
    } catch (error) {
      const what = `${request.method} ${request.key ?? 'of its list'}`
      if (error instanceof RetryableError) {
        const message = `The model store ${this.name} gave no good answer to ${what}: ${error.message}`
        throw new OutageError('model-store-unavailable', message, { cause: error })
      }
      if (!(error instanceof S3Refusal)) throw error
      if (error.code !== undefined && Object.hasOwn(expected, error.code)) return expected[error.code]!
      const advice = ADVICE[error.code ?? ''] ?? 'check modelStoreEndpoint, modelStoreRegion and modelStorePathStyle'
      throw this.#refused(`refuses ${what} (${error.message})`, advice)
    }
  }

  #refused(what: string, advice: string): SetupError {
    return new SetupError('model-store-refused', `The model store ${this.name} ${what}; ${advice}.`)
  }
}
