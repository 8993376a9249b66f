/** docs/metrics.md is the spec of the metrics: it lists those of the code, with their types and labels, and no others. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { root } from './pages.ts'

const described = (name: string, type: string, labels: readonly string[]) => `${name} ${type} ${labels.join(', ')}`

function inCode(): string[] {
  const sources = ['runtime', 'gateway', 'cli', 'trainer'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(root, folder, name), 'utf8')),
  )
  return sources.flatMap((source) =>
    [...source.matchAll(/new (Counter|Gauge|Histogram)\(\{\s*name: '(cuestream_\w+)',([\s\S]*?)\}\)/g)].map(
      ([, type, name, rest]) => {
        const labels = /labelNames: \[([^\]]*)\]/.exec(rest!)?.[1] ?? ''
        return described(
          name!,
          type!.toLowerCase(),
          [...labels.matchAll(/'(\w+)'/g)].map(([, label]) => label!),
        )
      },
    ),
  )
}

function inPage(): string[] {
  const text = readFileSync(join(root, 'docs/metrics.md'), 'utf8')
  return [...text.matchAll(/^\| `(cuestream_\w+)` \| (\w+) \| ([\w, ]*) ?\|/gm)].map(([, name, type, labels]) =>
    described(
      name!,
      type!,
      labels!
        .split(',')
        .map((label) => label.trim())
        .filter(Boolean),
    ),
  )
}

test('docs/metrics.md lists every metric of the code, with its type and labels', () => {
  const code = inCode()
  assert.ok(code.length >= 14, `only ${code.length} metrics were seen in the code`)
  assert.deepEqual(inPage().sort(), code.sort())
})
