/** Ports of 127.0.0.1 that nobody listens on. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { SetupError } from '../ports/errors.ts'

/**
 * Below the ports that systems give to outgoing connections (32768 and up): while a server is down, a client that tries
 * again and again would sooner or later be given the server's own port, connect to itself, and keep the server from
 * coming back.
 */
const FROM = 20_000
const BELOW = 32_000

/** @param wanted 0 for any free one. @throws SetupError 'port-in-use' */
export async function freePort(wanted = 0): Promise<number> {
  if (wanted !== 0) {
    if (await isFree(wanted)) return wanted
    throw new SetupError('port-in-use', `Port ${wanted} of 127.0.0.1 is taken. Stop what listens there.`)
  }
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(FROM, BELOW)
    if (await isFree(port)) return port
  }
  throw new SetupError('port-in-use', `No free port was found between ${FROM} and ${BELOW} of 127.0.0.1`)
}

/** The well-known port where it is free, else another. */
export async function portNear(preferred: number): Promise<number> {
  return (await isFree(preferred)) ? preferred : freePort()
}

function isFree(port: number): Promise<boolean> {
  const probe = createServer()
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
