import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import { SetupError } from '../../ports/errors.ts'

export interface MetricsServer {
  readonly url: string
  close(): Promise<void>
}

/** Serves `GET /metrics` on the loopback address. @param port 0 takes a free one. @throws SetupError 'cannot-listen' */
export async function serveMetrics(registry: Registry, port: number): Promise<MetricsServer> {
  const server = createServer(async ({ method, url }, response) => {
    if (method !== 'GET' || url !== '/metrics') return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': registry.contentType }).end(await registry.metrics())
  })
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (cause) {
    const message = `Metrics cannot be served on port ${port}: ${(cause as Error).message}. Choose another --metrics-port`
    throw new SetupError('cannot-listen', message, { cause })
  }
  const { port: taken } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${taken}/metrics`,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
