/**
 * Waits until stdin ends, that is until the process that holds it has ended, and removes its containers.
 *
 *     node --import tsx remove-containers.ts <engine's address as JSON> <label>
 */
import { type RequestOptions, request } from 'node:http'

const [address = '{}', label = ''] = process.argv.slice(2)
const engine = JSON.parse(address) as RequestOptions

for await (const _ of process.stdin) {
  // Nothing is ever written.
}
const filters = encodeURIComponent(JSON.stringify({ label: [label] }))
const containers = JSON.parse(await ask('GET', `/containers/json?all=1&filters=${filters}`)) as { Id: string }[]
await Promise.all(containers.map(({ Id }) => ask('DELETE', `/containers/${Id}?force=1&v=1`)))

function ask(method: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ ...engine, method, path }, async (response) => {
      let body = ''
      for await (const chunk of response) body += String(chunk)
      resolve(body)
    })
    asked.once('error', reject)
    asked.end()
  })
}
