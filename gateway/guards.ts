/**
 * What every request and answer passes: ids, security headers, and refusal of pages that are not ours.
 *
 *   [rebinding]     on a loopback address only loopback names are answered, so a name that an attacker points at
 *                   127.0.0.1 reaches nothing
 *   [cross-site]    another site's page cannot change anything here: there is no CORS, and requests that change state
 *                   are refused when the browser says that they come from elsewhere
 *   [no-script]     the page runs the scripts of this origin only; no inline script, no frame, no plug-in
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { sendProblem } from './problem.ts'

export interface GuardOptions {
  /** The address that the caller binds. */
  readonly bindHost: string
  /** Host names answered besides; when bound elsewhere than loopback, an empty list answers all. */
  readonly allowedHosts: readonly string[]
  /** How long a client may go on sending a body that was refused, before its connection is cut. */
  readonly lingerMs: number
}

const LOOPBACK = ['localhost', '127.0.0.1', '::1']
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

export function addGuards(app: FastifyInstance, options: GuardOptions): void {
  const loopback = LOOPBACK.includes(options.bindHost.replace(/^\[|\]$/g, ''))
  const hosts = new Set([...(loopback ? LOOPBACK : []), ...options.allowedHosts].map((host) => host.toLowerCase()))

  app.addHook('onRequest', async (request, reply) => {
    identify(request, reply)
    if (hosts.size > 0 && !hosts.has(hostname(request.headers.host))) {
      return sendProblem(reply, {
        status: 403,
        code: 'unknown-host',
        detail: 'This address is not answered under that host name; the operator can allow it.',
      })
    }
    if (!SAFE_METHODS.has(request.method) && isCrossSite(request)) {
      return sendProblem(reply, {
        status: 403,
        code: 'cross-site',
        detail: 'Requests that change something are accepted from pages of this address only.',
      })
    }
  })

  app.addHook('onResponse', async (request, reply) => {
    request.log.debug(
      { requestId: request.id, method: request.method, route: request.routeOptions.url, status: reply.statusCode },
      'A request was answered.',
    )
    cutUnreadBody(request, reply, options.lingerMs)
  })
}

/** The headers of every answer. */
export function identify(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id)
  reply.headers(SECURITY_HEADERS)
}

/** @returns the name in a Host header without its port, lower case; '' when there is none. */
function hostname(host: string | undefined): string {
  return (
    /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d+)?$/i
      .exec(host ?? '')
      ?.slice(1)
      .find(Boolean)
      ?.toLowerCase() ?? ''
  )
}

/** [cross-site] Browsers send Sec-Fetch-Site where it can be trusted, and Origin with every such request; others send neither. */
function isCrossSite({ headers }: FastifyRequest): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  if (headers.origin === undefined) return false
  try {
    return new URL(headers.origin).host !== headers.host
  } catch {
    return true // 'null': a sandboxed page
  }
}

/**
 * After an early refusal the client may still be sending. Closing at once would reset the connection and lose the
 * answer on its way; so what arrives is thrown away for a while, then the connection is cut.
 */
function cutUnreadBody(request: FastifyRequest, reply: FastifyReply, lingerMs: number): void {
  const { raw } = request
  if (raw.complete || raw.destroyed) return
  raw.resume()
  const timer = setTimeout(() => reply.raw.socket?.destroy() ?? raw.destroy(), lingerMs)
  raw.once('close', () => clearTimeout(timer))
  raw.once('end', () => clearTimeout(timer))
}
