/**
 * A list of strings as Python writes it: `['a', "it's", 'say \'no\'', 'caf\xe9']`; JSON is one, too. Read by hand: it comes
 * from a file of others. Source: The Python Language Reference, §2.4.1.
 */
export type PythonStrings = { readonly strings: readonly string[] } | { readonly wrong: string }

const SIMPLE: Readonly<Record<string, string>> = {
  '\\': '\\',
  "'": "'",
  '"': '"',
  '/': '/',
  '\n': '',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}
const DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** @returns the strings, or what is wrong and where. */
export function pythonStrings(text: string): PythonStrings {
  const strings: string[] = []
  let at = 0
  const skipSpace = () => {
    while (/\s/.test(text[at] ?? '')) at++
  }
  const expected = (what: string) => ({
    wrong: `${what} is expected at character ${at + 1}, not ${at < text.length ? JSON.stringify(text[at]) : 'the end'}`,
  })
  skipSpace()
  if (text[at] !== '[') return expected('[')
  at++
  for (;;) {
    skipSpace()
    if (text[at] === ']') break
    const quote = text[at]
    if (quote !== "'" && quote !== '"') return expected('a string')
    const string = stringAt(text, at)
    if (string === undefined)
      return { wrong: `the string that begins at character ${at + 1} does not end, or has an unknown escape` }
    strings.push(string.value)
    at = string.end
    skipSpace()
    if (text[at] === ',') at++
    else if (text[at] !== ']') return expected(', or ]')
  }
  at++
  skipSpace()
  return at === text.length ? { strings } : expected('the end')
}

function stringAt(text: string, start: number): { value: string; end: number } | undefined {
  const quote = text[start]
  let value = ''
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]!
    if (character === quote) return { value, end: at + 1 }
    if (character !== '\\') {
      value += character
      continue
    }
    const kind = text[++at] ?? ''
    const digits = DIGITS[kind]
    if (digits === undefined) {
      // Python keeps the backslash of an escape that it does not know.
      value += SIMPLE[kind] ?? `\\${kind}`
      continue
    }
    const hex = text.slice(at + 1, at + 1 + digits)
    const code = /^[0-9a-f]+$/i.test(hex) && hex.length === digits ? Number.parseInt(hex, 16) : Number.NaN
    if (!(code <= 0x10ffff)) return undefined
    value += String.fromCodePoint(code)
    at += digits
  }
  return undefined
}
