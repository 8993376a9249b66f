/**
 * A TCP proxy between a client and a real server, for faults of the network that a test makes on purpose.
 *
 *     client ──▶ 127.0.0.1:port ──▶ target
 *
 * A client of Kafka follows the broker's advertised listener: start the broker with this proxy's address advertised.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** What waits in one direction of one connection before its sender is held back. */
const MAX_WAITING_BYTES = 1024 * 1024

export interface TcpProxy {
  readonly port: number
  /** Of each direction, one way; setting it sets both. */
  delayMs: number
  toTargetDelayMs: number
  toClientDelayMs: number
  /** Connections that are open now. */
  readonly connections: number
  /** Came in and has not left yet. */
  readonly heldBytes: number
  /** Ends open connections by a reset and resets new ones as they come, until `restore()`. */
  cut(): void
  restore(): void
  /** The first connection that brings its client more than `bytes` from now on ends right behind them. Resolves then. */
  endWithin(bytes: number): Promise<void>
  /** Connections stay open, nothing passes. What was sent meanwhile arrives once it is off, as TCP would resend it. */
  blackhole(on: boolean): void
  close(): Promise<void>
}

/** @param options.port 0, or one to be kept. */
export async function tcpProxy(
  target: { host: string; port: number },
  options: { port?: number } = {},
): Promise<TcpProxy> {
  const links = new Set<Link>()
  let isCut = false
  let isBlackhole = false
  const delaysMs = { toTarget: 0, toClient: 0 }
  let ending: { readonly bytes: number; readonly passed: Map<Link, number>; done(): void } | undefined
  /** How many of the bytes that a connection brings its client may still pass. */
  const mayPass = (link: Link, bytes: number) => {
    if (ending === undefined) return bytes
    const passed = ending.passed.get(link) ?? 0
    ending.passed.set(link, passed + bytes)
    const left = ending.bytes - passed
    if (bytes <= left) return bytes
    ending.done()
    ending = undefined
    return left
  }

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    client.on('error', () => {}) // the other side learns it by 'close'
    if (isCut) return reset(client)
    const upstream = connect({ ...target, allowHalfOpen: true, noDelay: true })
    upstream.on('error', () => {})
    const directions = [
      forward(client, upstream, () => delaysMs.toTarget),
      forward(
        upstream,
        client,
        () => delaysMs.toClient,
        (bytes) => mayPass(link, bytes),
      ),
    ]
    const link: Link = {
      heldBytes: () => directions.reduce((sum, direction) => sum + direction.heldBytes(), 0),
      hold: (on) => directions.forEach((direction) => void direction.hold(on)),
      cut() {
        for (const direction of directions) direction.drop()
        reset(client)
        reset(upstream)
      },
    }
    link.hold(isBlackhole)
    links.add(link)
    let open = 2
    for (const socket of [client, upstream]) {
      socket.once('close', (failed) => {
        if (failed) link.cut()
        if (--open === 0) links.delete(link)
      })
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })

  return {
    port: (server.address() as AddressInfo).port,
    get delayMs() {
      return Math.max(delaysMs.toTarget, delaysMs.toClient)
    },
    set delayMs(delayMs) {
      delaysMs.toTarget = delayMs
      delaysMs.toClient = delayMs
    },
    get toTargetDelayMs() {
      return delaysMs.toTarget
    },
    set toTargetDelayMs(delayMs) {
      delaysMs.toTarget = delayMs
    },
    get toClientDelayMs() {
      return delaysMs.toClient
    },
    set toClientDelayMs(delayMs) {
      delaysMs.toClient = delayMs
    },
    get connections() {
      return links.size
    },
    get heldBytes() {
      return [...links].reduce((sum, link) => sum + link.heldBytes(), 0)
    },
    cut() {
      isCut = true
      for (const link of links) link.cut()
    },
    restore() {
      isCut = false
    },
    endWithin(bytes) {
      return new Promise<void>((done) => {
        ending = { bytes, passed: new Map(), done }
      })
    },
    blackhole(on) {
      isBlackhole = on
      for (const link of links) link.hold(on)
    },
    async close() {
      for (const link of links) link.cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

interface Link {
  heldBytes(): number
  hold(on: boolean): void
  cut(): void
}

/** A reset of a socket that was ended before leaves its handle open for ever, and the process with it. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}

/** One direction of one connection: each chunk, and the end, leave in order once their delay is over. */
function forward(from: Socket, to: Socket, delayMs: () => number, mayPass = (bytes: number) => bytes) {
  const waiting: { chunk: Buffer | 'end'; dueMs: number }[] = []
  let waitingBytes = 0
  let held = false
  let timer: NodeJS.Timeout | undefined

  const pump = () => {
    clearTimeout(timer)
    for (let next = waiting[0]; next !== undefined && !held && !to.writableNeedDrain; next = waiting[0]) {
      const leftMs = next.dueMs - performance.now()
      if (leftMs > 0) {
        timer = setTimeout(pump, leftMs)
        return
      }
      waiting.shift()
      if (next.chunk === 'end') to.end()
      else {
        waitingBytes -= next.chunk.byteLength
        to.write(next.chunk)
      }
    }
    if (waitingBytes < MAX_WAITING_BYTES) from.resume()
  }
  const end = () => {
    waiting.push({ chunk: 'end', dueMs: performance.now() + delayMs() })
    pump()
  }
  from.on('data', (whole: Buffer) => {
    const chunk = whole.subarray(0, mayPass(whole.byteLength))
    waiting.push({ chunk, dueMs: performance.now() + delayMs() })
    waitingBytes += chunk.byteLength
    if (waitingBytes >= MAX_WAITING_BYTES) from.pause()
    if (chunk.byteLength < whole.byteLength) {
      reset(from)
      end() // not by a reset, before which what was passed may be lost
    } else pump()
  })
  from.on('end', end)
  to.on('drain', pump)

  return {
    heldBytes: () => waitingBytes,
    hold(on: boolean) {
      held = on
      pump()
    },
    drop() {
      clearTimeout(timer)
      waiting.length = 0
    },
  }
}
