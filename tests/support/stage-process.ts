/**
 * Processors, or the gateway, in a process of their own, as `cuestream run` and `cuestream gateway` run them, with
 * stand-in encoders: `node --import tsx stage-process.ts <processor,…|gateway>`, configured by the environment.
 *
 * Writes one line when it is up: `up <url of the gateway, or ->`. SIGTERM ends it with 0, a crashed stage with 1.
 */
import { endClosed, untilStopped } from '../../cli/commands/until-stopped.ts'
import { openProduct } from '../../cli/open-product.ts'
import { loadConfig } from '../../runtime/config.ts'
import { createLogger } from '../../runtime/logger.ts'
import { standInDecoder } from './stand-in-media.ts'
import { standInProfile } from './stand-in-profile.ts'

const what = process.argv[2] ?? ''
const config = loadConfig({ env: process.env })
const options = {
  logger: createLogger(config),
  profile: standInProfile,
  decoder: standInDecoder,
  stages: what === 'gateway' ? [] : what.split(','),
}
/** The HTTP server is loaded only where it is wanted: a start costs half of what it would. */
const { url, product, close } =
  what === 'gateway'
    ? await (await import('../../cli/service.ts')).startService(config, { ...options, keepsHouse: true })
    : await openProduct(config, options).then((product) => ({ url: '-', product, close: () => product.close() }))
process.stdout.write(`up ${url}\n`)
process.stdin.resume().once('end', () => process.exit(1)) // the fleet is gone
try {
  await untilStopped(product.failed)
} finally {
  await close()
  process.stdin.destroy()
  endClosed()
}
