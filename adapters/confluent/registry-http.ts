/**
 * The one way by which requests reach the registry, the library's too. What comes back is one of
 *
 *   the answer                     a whole one, in JSON
 *   RegistryRefusal                the registry's own word: a 4xx with its error code
 *   SetupError 'registry-refused'  it does not let us in
 *   OutageError                    anything else: silence, a cut, an error, a proxy's 404, garbage
 *
 * The transport that the library brings cannot tell these apart: it drops error codes, calls it status 400 when nothing
 * answered (kafkajs/confluent-schema-registry#306), never ends a request whose answer is cut off, and takes the process
 * down by an error whose body is `null`.
 */
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { OutageError, SetupError } from '../../ports/errors.ts'

export interface RegistryTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

export interface RegistryAddress {
  /** May hold `user:password@`. */
  readonly url: string
  /** Comes before the URL's. */
  readonly username?: string
  readonly password?: string
  readonly tls?: RegistryTls
}

/** A schema of megabytes is none of ours. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json'
/** Request timeout, too many requests: 4xx that say nothing of the request. */
const PASSING = new Set([408, 429])
/** What a message quotes of an answer. */
const QUOTED_CHARACTERS = 300

/** The registry said no, with its own code. */
export class RegistryRefusal extends Error {
  readonly status: number
  readonly errorCode: number

  constructor(status: number, errorCode: number, message: string) {
    super(message)
    this.name = new.target.name
    this.status = status
    this.errorCode = errorCode
  }
}

export class RegistryHttp {
  /** Without credentials and without a slash at the end: fit for messages. */
  readonly host: string
  readonly #headers: Readonly<Record<string, string>>
  /** Connections end with their request: requests are few, and one that the server has closed meanwhile would fail. */
  readonly #agent: HttpAgent
  readonly #timeoutMs: number

  /** @throws SetupError 'bad-config' */
  constructor({ url, tls, ...given }: RegistryAddress, timeoutMs: number) {
    const parsed = readUrl(url)
    const username = given.username ?? parsed.username
    const password = given.password ?? parsed.password
    const credentials = Buffer.from(`${username}:${password}`).toString('base64')
    this.host = parsed.host
    this.#headers = {
      accept: MEDIA_TYPE,
      'content-type': MEDIA_TYPE,
      ...((username !== '' || password !== '') && { authorization: `Basic ${credentials}` }),
    }
    this.#agent = this.host.startsWith('https:') ? new HttpsAgent({ ...tls }) : new HttpAgent()
    this.#timeoutMs = timeoutMs
  }

  /** @param json the body, as JSON text. @returns an object or array. @throws as the header says. */
  async ask(method: string, path: string, json?: string): Promise<object> {
    const asked = `${method.toUpperCase()} ${path}`
    const { status, body } = await this.#exchange(method, path, json).catch((error: Error) => {
      throw this.outage(asked, error)
    })
    if (status >= 200 && status < 300 && typeof body === 'object' && body !== null) return body
    const message = fieldOf(body, 'message')
    const said = typeof message === 'string' ? `status ${status}, ${quoted(message)}` : `status ${status}`
    if (status === 401 || status === 403) {
      const text = `The schema registry at ${this.host} refuses ${asked} (${said})`
      throw new SetupError('registry-refused', `${text}; check its user and password`)
    }
    const code = fieldOf(body, 'error_code')
    if (PASSING.has(status) || status < 400 || status >= 500 || !Number.isInteger(code)) {
      throw this.outage(asked, new Error(said))
    }
    throw new RegistryRefusal(status, code as number, said)
  }

  /** @param asked what there was no good answer to. */
  outage(asked: string, cause: Error): OutageError {
    const message = `The schema registry at ${this.host} gave no good answer to ${asked}: ${quoted(cause)}`
    return new OutageError('registry-unavailable', message, { cause })
  }

  close(): void {
    this.#agent.destroy()
  }

  #exchange(method: string, path: string, json: string | undefined): Promise<{ status: number; body: unknown }> {
    const request = this.host.startsWith('https:') ? httpsRequest : httpRequest
    const signal = AbortSignal.timeout(this.#timeoutMs)
    const options = { method, headers: this.#headers, agent: this.#agent, signal }
    return new Promise((resolve, reject) => {
      const sent = request(`${this.host}${path}`, options, (response) => {
        const chunks: Buffer[] = []
        let bytes = 0
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length
          chunks.push(chunk)
          if (bytes > MAX_ANSWER_BYTES)
            response.destroy(new Error(`its answer has more than ${MAX_ANSWER_BYTES} bytes`))
        })
        response.on('error', reject)
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: jsonOf(Buffer.concat(chunks).toString('utf8')) })
        })
      })
      sent.on('error', reject)
      sent.end(json)
    })
  }
}

/** A field of an answer, which may be anything. */
export function fieldOf(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined
}

export function quoted(said: unknown): string {
  const text = said instanceof Error ? said.message : String(said)
  return text.length > QUOTED_CHARACTERS ? `${text.slice(0, QUOTED_CHARACTERS)}…` : text
}

function readUrl(text: string): { host: string; username: string; password: string } {
  try {
    const url = new URL(text)
    if (!/^https?:$/.test(url.protocol)) throw new TypeError('neither http nor https')
    return {
      host: `${url.origin}${url.pathname}`.replace(/\/+$/, ''),
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    }
  } catch {
    // Neither the text nor its parser's error is repeated: they may hold a password.
    throw new SetupError('bad-config', 'The URL of the schema registry must look like http://host:8081 or https://host')
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
