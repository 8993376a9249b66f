import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { test } from 'node:test'

const folder = new URL('../../../web/', import.meta.url)
const files = readdirSync(folder)
const read = (name: string) => readFileSync(new URL(name, folder), 'utf8')

test('the page needs less than 60 KB of script', () => {
  const scripts = files.filter((name) => name.endsWith('.js'))
  assert.ok(scripts.includes('app.js'))
  const bytes = scripts.reduce((sum, name) => sum + statSync(new URL(name, folder)).size, 0)
  assert.ok(bytes < 60 * 1024, `${bytes} bytes`)
})

test('the page works under its own security policy: nothing inline, nothing from elsewhere', () => {
  const html = read('index.html')
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)/, 'an inline script')
  assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=/, 'an inline style or handler')
  for (const name of files.filter((file) => /\.(?:html|css|js)$/.test(file))) {
    assert.doesNotMatch(read(name), /(?:src|href|url|import)\W{1,3}(?:https?:)?\/\//, `${name} loads from elsewhere`)
    assert.doesNotMatch(read(name), /innerHTML|insertAdjacentHTML|document\.write|\beval\(/, `${name} parses markup`)
  }
})

test('every file and element that the page asks for is there', () => {
  const html = read('index.html')
  for (const [, name] of html.matchAll(/\/assets\/([\w.-]+)/g)) assert.ok(files.includes(name!), name)
  const ids = new Set([...html.matchAll(/\sid="([\w-]+)"/g)].map(([, id]) => id))
  for (const name of files.filter((file) => file.endsWith('.js'))) {
    for (const [, id] of read(name).matchAll(/byId\('([\w-]+)'/g)) assert.ok(ids.has(id), `${name} asks for #${id}`)
  }
  for (const [, id] of html.matchAll(/\s(?:for|aria-labelledby)="([\w-]+)"/g))
    assert.ok(ids.has(id), `#${id} has a label`)
})
