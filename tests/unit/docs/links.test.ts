/** What the pages name is there: links, files, npm scripts, commands. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, test } from 'node:test'
import type { Command } from 'commander'
import { type Page, pageOf, readPages, root } from './pages.ts'

const pages = readPages()
const folders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['.git', 'node_modules', 'data'].includes(entry.name))
  .map(({ name }) => name)
const scripts = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts as Record<string, string>

/** Addresses of relative links, without their fragments. */
function relativeLinks({ text }: Page): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, address]) => address!.replace(/#.*$/, ''))
    .filter((address) => address !== '' && !/^[a-z]+:/.test(address))
}

/**
 * Spans that are paths of the repository: below one of its folders, or files of its kinds. Of a pattern
 * (`schemas/*.avsc`, `processors/<verb-noun>/`) the part before its first variable segment.
 */
function repositoryPaths({ spans }: Page): string[] {
  return spans
    .filter((span) => /^[\w.-]+(\/[\w.*<>-]+)*\/?$/.test(span) && span.includes('/'))
    .filter((span) => folders.includes(span.split('/')[0]!) || /\.(ts|js|md|avsc|jsonl)$/.test(span))
    .map((span) => {
      const segments = span.split('/')
      const variable = segments.findIndex((segment) => /[*<>]/.test(segment))
      return (variable === -1 ? segments : segments.slice(0, variable)).join('/')
    })
    .filter((path) => path !== '')
}

function npmScripts({ spans, fenced }: Page): string[] {
  return [...spans, ...fenced].flatMap((code) => [
    ...[...code.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(([, name]) => name!),
    ...[...code.matchAll(/\bnpm (start|test)\b/g)].map(([, name]) => name!),
  ])
}

/** `cuestream <command> <word>`: the words that follow the program's name. */
function invocations({ spans, fenced }: Page): string[][] {
  return [...spans, ...fenced].flatMap((code) =>
    [...code.matchAll(/(?:^|\s)cuestream(?: --)? +([a-z][a-z-]*)(?: +([a-z][a-z-]*))?/g)].map((match) =>
      match.slice(1).filter((word) => word !== undefined),
    ),
  )
}

/** The commands that cli/main.ts takes, found through its imports, since importing it would run it. */
async function commands(): Promise<Map<string, Command>> {
  const source = readFileSync(join(root, 'cli/main.ts'), 'utf8')
  const found = new Map<string, Command>()
  for (const [, name, file] of source.matchAll(/import \{ (\w+Command) \} from '(\.\/commands\/[\w-]+\.ts)'/g)) {
    const module = await import(new URL(`../../../cli/${file}`, import.meta.url).href)
    const command = module[name!](() => assert.fail('no command is run')) as Command
    found.set(command.name(), command)
  }
  return found
}

function missing(find: (page: Page) => readonly string[], isThere: (found: string, page: Page) => boolean) {
  const found = pages.flatMap((page) => find(page).map((what) => ({ page, what })))
  return {
    count: found.length,
    missing: found.filter(({ page, what }) => !isThere(what, page)).map(({ page, what }) => `${page.path}: ${what}`),
  }
}

describe('the pages of the repository', () => {
  test('every relative link leads to a file', () => {
    const links = missing(relativeLinks, (link, { path }) =>
      existsSync(join(root, normalize(join(dirname(path), link)))),
    )
    assert.deepEqual(links.missing, [])
    assert.ok(links.count >= 10, `only ${links.count} links were seen`)
  })

  test('every path in backticks exists', () => {
    const paths = missing(repositoryPaths, (path) => existsSync(join(root, path)))
    assert.deepEqual(paths.missing, [])
    assert.ok(paths.count >= 50, `only ${paths.count} paths were seen`)
  })

  test('every npm script exists', () => {
    const named = missing(npmScripts, (name) => name in scripts)
    assert.deepEqual(named.missing, [])
    assert.ok(named.count >= 10, `only ${named.count} scripts were seen`)
  })

  test('every cuestream command exists, and so does its subcommand', async () => {
    const known = await commands()
    assert.ok(known.size >= 9, `cli/main.ts gave only ${known.size} commands`)
    const named = pages.flatMap((page) => invocations(page).map((words) => ({ page, words })))
    const wrong = named.filter(({ words: [name = '', sub] }) => {
      const command = known.get(name)
      if (command === undefined) return name !== 'help'
      return command.commands.length > 0 && sub !== undefined && !command.commands.some((c) => c.name() === sub)
    })
    assert.deepEqual(
      wrong.map(({ page, words }) => `${page.path}: cuestream ${words.join(' ')}`),
      [],
    )
    assert.ok(named.length >= 10, `only ${named.length} commands were seen`)
  })

  test('what is not there would be found', () => {
    const page = pageOf(
      'docs/x.md',
      'See [a](gone.md#part), [b](https://example.com), `ports/gone.ts`, `schemas/*.avsc`, `gone/x.ts` and `application/json`.\n```sh\nnpm run gone\ncuestream vanish now --x\n```\n',
    )
    assert.deepEqual(relativeLinks(page), ['gone.md'])
    assert.deepEqual(repositoryPaths(page), ['ports/gone.ts', 'schemas', 'gone/x.ts'])
    assert.deepEqual(npmScripts(page), ['gone'])
    assert.deepEqual(invocations(page), [['vanish', 'now']])
  })
})
