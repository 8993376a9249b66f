/**
 * One signed request to an S3-compatible service. Signatures (Version 4) are aws4fetch's. What becomes of it is one of
 *
 *   what `read` makes of the answer   status 2xx
 *   S3Refusal                         the service's own word: another status, with its error code
 *   RetryableError                    silence, a cut, an error of the server, too many requests
 *   SetupError                        its certificate is not trusted
 *
 *   [bounded]  an answer has a silence and a time after which it is given up, the time by its bytes; redirects are not
 *              followed, nothing is decompressed, and of an error only the start is read
 *   [secret]   the secret key stays here. What a server says is never repeated but for its error code: it may quote keys
 */
import { createReadStream } from 'node:fs'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AwsV4Signer } from 'aws4fetch'
import { RetryableError, SetupError } from '../../ports/errors.ts'
import { elementsOf } from './s3-xml.ts'

export interface S3Address {
  /** Origin alone: https://s3.example.com. */
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  /** https://host/bucket/key; else https://bucket.host/key. */
  readonly pathStyle: boolean
  readonly accessKey: string
  readonly secretKey: string
  /** Certificates to trust in place of Node's, PEM. */
  readonly ca?: string
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  /** Without characters that a URL would have to escape; the bucket itself if absent. */
  readonly key?: string
  readonly query?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: S3Body
  /** Most bytes of the answer that will be read: more time is given to more. */
  readonly answerBytes: number
}

/** The service takes a body only if it has this SHA-256. */
export interface S3Body {
  readonly from: { readonly path: string } | Buffer
  readonly bytes: number
  readonly sha256: string
}

export interface S3Patience {
  /** Longest silence on a connection. */
  readonly idleMs: number
  /** For a request and its answer, besides what their bytes may take. */
  readonly answerMs: number
  readonly leastBytesPerSecond: number
  /** Tries after the first. */
  readonly retries: number
  /** Before the second try; doubles, with jitter. */
  readonly retryDelayMs: number
}

const MAX_ERROR_BYTES = 64 * 1024
const NO_BODY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
/** 4xx that say nothing of the request: timeout, conflict of two requests, too many of them. */
const PASSING = new Set([408, 409, 429])
const UNTRUSTED = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/

/** The service said no. */
export class S3Refusal extends Error {
  readonly status: number
  /** S3's error code, such as NoSuchKey; undefined where the answer holds none. */
  readonly code: string | undefined

  constructor(status: number, code: string | undefined) {
    super(code === undefined ? `status ${status}` : `status ${status}, ${code}`)
    this.name = new.target.name
    this.status = status
    this.code = code
  }
}

export async function sendS3<T>(
  address: S3Address,
  request: S3Request,
  { idleMs, answerMs, leastBytesPerSecond }: S3Patience,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  const bytes = request.answerBytes + (request.body?.bytes ?? 0)
  const signal = AbortSignal.timeout(answerMs + Math.ceil((bytes * 1000) / leastBytesPerSecond)) // [bounded]
  const response = await answerTo(address, request, idleMs, signal)
  try {
    const { statusCode: status = 0, headers } = response
    if (status >= 200 && status < 300) return await read(response)
    const code = await errorCodeOf(response)
    const refusal = new S3Refusal(status, code)
    if (PASSING.has(status) || (status >= 500 && status !== 501)) {
      throw new RetryableError('model-store-unavailable', refusal.message, retryAfter(headers['retry-after']))
    }
    throw refusal
  } finally {
    response.destroy()
  }
}

/** The answer's bytes as they come. @throws RetryableError where they end before their time. */
export async function* bytesOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of response) yield chunk as Buffer
  } catch (error) {
    throw broken(error)
  }
}

async function answerTo(address: S3Address, request: S3Request, idleMs: number, signal: AbortSignal) {
  const { url, headers } = await signed(address, request)
  const { body } = request
  const options = {
    method: request.method,
    headers: { ...Object.fromEntries(headers), ...(body && { 'content-length': body.bytes }) },
    // Connections end with their request: requests are few, and one that the server has closed meanwhile would fail.
    agent: false as const,
    timeout: idleMs,
    signal,
    ...(address.ca === undefined ? {} : { ca: address.ca }),
  }
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options)
      sent.once('timeout', () => sent.destroy(new Error(`silent for ${idleMs} ms`)))
      sent.once('response', resolve)
      sent.on('error', reject)
      if (body === undefined) sent.end()
      else pipeline(streamOf(body), sent).catch(reject)
    })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== undefined && UNTRUSTED.test(code)) {
      const message = `The certificate of the model store at ${url.host} is not trusted (${code}); name its authority's`
      throw new SetupError('model-store-refused', `${message} in modelStoreTlsCaFile`, { cause: error })
    }
    throw broken(error)
  }
}

/** @throws SetupError 'bad-config' where the endpoint's host cannot have the bucket before it. */
export function objectUrl({ endpoint, bucket, pathStyle }: S3Address, key: string): URL {
  const { protocol, host } = new URL(endpoint)
  if (pathStyle) return new URL(`${protocol}//${host}/${bucket}/${key}`)
  const url = `${protocol}//${bucket}.${host}/${key}`
  if (URL.canParse(url)) return new URL(url)
  throw new SetupError('bad-config', `${bucket}.${host} is no name of a host: set modelStorePathStyle to true`)
}

function signed(address: S3Address, { method, key = '', query = {}, headers = {}, body }: S3Request) {
  const url = objectUrl(address, key)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return new AwsV4Signer({
    method,
    url: url.href,
    headers: { ...headers, 'accept-encoding': 'identity', 'x-amz-content-sha256': body?.sha256 ?? NO_BODY_SHA256 },
    accessKeyId: address.accessKey,
    secretAccessKey: address.secretKey,
    region: address.region,
    service: 's3',
  }).sign()
}

const streamOf = ({ from }: S3Body) => (Buffer.isBuffer(from) ? Readable.from([from]) : createReadStream(from.path))

async function errorCodeOf(response: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of bytesOf(response)) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_ERROR_BYTES) break
  }
  return elementsOf(Buffer.concat(chunks).toString(), 'Code').find((code) => /^[A-Za-z0-9]{1,64}$/.test(code)) // [secret]
}

function broken(cause: unknown): RetryableError {
  const { message } = cause as Error
  return new RetryableError('model-store-unavailable', `the connection failed: ${message}`, { cause })
}

/** Seconds; the other form, a date, is passed over. */
function retryAfter(header: string | undefined): { retryAfterMs?: number } {
  return header !== undefined && /^\d{1,6}$/.test(header) ? { retryAfterMs: Number(header) * 1000 } : {}
}
