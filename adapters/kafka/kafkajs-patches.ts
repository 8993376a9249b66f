/**
 * What is mended in kafkajs while it runs. Each patch names what it is for; a test shows that it is still needed.
 *
 *   [no-spin]       RequestQueue.scheduleCheckPendingRequests sets a timer though nothing is pending, with a delay that is
 *                   negative (kafkajs#1751: TimeoutNegativeWarning) and ends at once, only to set the next: about 930
 *                   timers a second for each connection (kafkajs#1768). With nothing pending there is nothing to check.
 *   [slow-check]    Each connection looks ten times a second whether a request timed out. Once a second is enough for
 *                   limits of many seconds.
 *   [one-connect]   ConnectionPool.getConnection lets two requests that come at once open two sockets, of which one leaks.
 */
import { kafkajsInternals } from './kafkajs-internals.ts'

const CHECK_EVERY_MS = 1_000
let patched = false

/** @throws SetupError 'kafkajs-version' when kafkajs is not the version that these patches were made for. */
export function patchKafkajs(): void {
  if (patched) return
  const { RequestQueue, ConnectionPool } = kafkajsInternals()
  patched = true

  const scheduleCheck = RequestQueue.prototype.scheduleCheckPendingRequests
  RequestQueue.prototype.scheduleCheckPendingRequests = function () {
    if (this.pending.length > 0) scheduleCheck.call(this) // [no-spin]
  }

  Object.assign(RequestQueue.prototype, { scheduleRequestTimeoutCheck }) // [slow-check]

  const getConnection = ConnectionPool.prototype.getConnection
  const connecting = new WeakMap<object, ReturnType<typeof getConnection>>()
  ConnectionPool.prototype.getConnection = function (index = 0) {
    const slot = this.pool[index]!
    let connection = connecting.get(slot)
    if (connection === undefined) {
      connection = getConnection.call(this, index).finally(() => connecting.delete(slot))
      connecting.set(slot, connection) // [one-connect]
    }
    return connection
  }
}

interface Queue {
  readonly inflight: ReadonlyMap<number, { sentAt: number; requestTimeout: number; timeoutRequest(): void }>
  requestTimeoutIntervalId: NodeJS.Timeout
  destroy(): void
  isConnected(): boolean
}

/** As kafkajs's own, but seldom, and holding no process up. */
function scheduleRequestTimeoutCheck(this: Queue): void {
  this.destroy()
  this.requestTimeoutIntervalId = setInterval(() => {
    const now = Date.now()
    for (const request of this.inflight.values()) {
      if (now - request.sentAt > request.requestTimeout) request.timeoutRequest()
    }
    if (!this.isConnected()) this.destroy()
  }, CHECK_EVERY_MS)
}
