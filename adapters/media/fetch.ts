/**
 * Downloads a medium from a host that the operator allows, into the media store.
 *
 *   [hosts]   https only (http where allowed), named hosts only, no credentials; none is allowed by default
 *   [again]   each redirect is checked as the first address was
 *   [pinned]  the name is resolved once, every answer must be public, and the connection goes to a checked address,
 *             so a name that resolves differently a moment later (DNS rebinding) changes nothing
 *   [bounded] redirects, time and (by the store) bytes; no compression, so a byte sent is a byte stored
 */
import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { InvalidRequestError, RetryableError } from '../../ports/errors.ts'
import type { MediaStore, StoredMedia } from '../../ports/media.ts'
import { isPublicAddress } from './public-address.ts'

export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

export interface MediaFetcherOptions {
  readonly store: MediaStore
  /** 'media.example.com', '*.example.com' (any depth, not the domain itself), with ':port' where it is not the default. */
  readonly allowedHosts: readonly string[]
  readonly allowHttp?: boolean
  /** Lets allowed hosts resolve to private, loopback and link-local addresses. */
  readonly allowPrivateNetworks?: boolean
  readonly maxRedirects?: number
  /** For all of it, redirects included. Default 5 min. */
  readonly timeoutMs?: number
  /** Longest silence on the connection. Default 15 s. */
  readonly idleMs?: number
  /** Certificates to trust in place of the system's, PEM. */
  readonly ca?: string | undefined
  readonly resolve?: (host: string) => Promise<readonly Address[]>
}

export interface MediaFetcher {
  /**
   * @throws InvalidRequestError 'fetch-off' | 'uri-not-allowed' | 'fetch-refused' (the host answered 4xx) | the store's
   * @throws RetryableError 'fetch-failed'
   */
  fetch(uri: string, signal?: AbortSignal): Promise<StoredMedia>
}

const resolveBySystem = async (host: string) => (await lookup(host, { all: true })) as Address[]

export function mediaFetcher(options: MediaFetcherOptions): MediaFetcher {
  const { store, maxRedirects = 3, timeoutMs = 300_000 } = options

  return {
    async fetch(uri, signal) {
      if (options.allowedHosts.length === 0) {
        throw new InvalidRequestError('fetch-off', 'fetching by URI is off here: upload the file, or ask the operator')
      }
      const deadline = AbortSignal.timeout(timeoutMs)
      const limit = signal ? AbortSignal.any([signal, deadline]) : deadline
      try {
        let url = allowedUrl(uri, options)
        for (let redirects = 0; redirects <= maxRedirects; redirects++) {
          const response = await get(url, await checkedAddresses(url, options, limit), options, limit)
          try {
            const location = redirectOf(response)
            if (location === undefined) return await store.put(body(response, url), { signal: limit })
            url = allowedUrl(new URL(location, url).href, options) // [again]
          } finally {
            response.destroy()
          }
        }
        throw notAllowed(`more than ${maxRedirects} redirects`)
      } catch (error) {
        signal?.throwIfAborted()
        if (error instanceof InvalidRequestError || error instanceof RetryableError) throw error
        const why = deadline.aborted ? `it took longer than ${timeoutMs} ms` : 'the connection failed'
        throw new RetryableError('fetch-failed', `the medium could not be fetched: ${why}`, { cause: error })
      }
    },
  }
}

const notAllowed = (why: string) =>
  new InvalidRequestError('uri-not-allowed', `this URI is not allowed: ${why}`, { status: 422 })

/** [hosts] */
function allowedUrl(uri: string, { allowedHosts, allowHttp }: MediaFetcherOptions): URL {
  const url = URL.canParse(uri) ? new URL(uri) : undefined
  if (!url) throw notAllowed('it is not a valid URI')
  if (url.protocol !== 'https:' && !(allowHttp && url.protocol === 'http:')) throw notAllowed('use https')
  if (url.username !== '' || url.password !== '') throw notAllowed('it carries credentials')
  if (!allowedHosts.some((pattern) => matchesHost(url.host, pattern.toLowerCase()))) {
    throw notAllowed(`host ${url.host} is not on the operator's list`)
  }
  return url
}

/** `host` has its port only where that is not the scheme's own. */
const matchesHost = (host: string, pattern: string) =>
  pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern

/** [pinned] */
async function checkedAddresses(url: URL, options: MediaFetcherOptions, signal: AbortSignal): Promise<Address[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const literal = isIP(host)
  const found: readonly Address[] = literal
    ? [{ address: host, family: literal as 4 | 6 }]
    : await orAborted((options.resolve ?? resolveBySystem)(host), signal)
  const hidden = options.allowPrivateNetworks ? undefined : found.find(({ address }) => !isPublicAddress(address))
  if (hidden) throw notAllowed(`host ${url.hostname} is on a private network`)
  if (found.length === 0) throw new RetryableError('fetch-failed', `host ${url.hostname} has no address`)
  return [...found]
}

/** A name look-up cannot be cancelled; it is left behind. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    work.then(resolve, reject)
  })
}

function get(url: URL, pinned: Address[], options: MediaFetcherOptions, signal: AbortSignal): Promise<IncomingMessage> {
  const { idleMs = 15_000, ca } = options
  return new Promise((resolve, reject) => {
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
      agent: false,
      headers: { accept: 'audio/*, video/*', 'accept-encoding': 'identity', 'user-agent': 'cuestream' },
      lookup: (_host, { all }, done) => (all ? done(null, pinned) : done(null, pinned[0]!.address, pinned[0]!.family)), // [pinned]
      timeout: idleMs,
      signal,
      ...(ca === undefined ? {} : { ca }),
    })
    request.once('timeout', () => request.destroy(new Error(`silent for ${idleMs} ms`)))
    request.once('response', resolve)
    request.on('error', reject)
    request.end()
  })
}

function redirectOf(response: IncomingMessage): string | undefined {
  const { statusCode = 0, headers } = response
  return [301, 302, 303, 307, 308].includes(statusCode) ? headers.location : undefined
}

function body(response: IncomingMessage, url: URL): AsyncIterable<Uint8Array> {
  const { statusCode = 0, headers } = response
  if (statusCode >= 500 || statusCode === 429) {
    throw new RetryableError('fetch-failed', `${url.host} answered ${statusCode}`)
  }
  if (statusCode !== 200)
    throw new InvalidRequestError('fetch-refused', `${url.host} answered ${statusCode}`, { status: 422 })
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') {
    throw new InvalidRequestError('fetch-refused', `${url.host} sent it compressed (${encoding})`, { status: 422 })
  }
  return response
}
