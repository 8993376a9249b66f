/**
 * node-llama-cpp, which is no dependency of the product: `npm run local-model:install` puts it into a folder of its own.
 * Nothing is compiled or downloaded here; the binary comes inside a package.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { SetupError } from '../../ports/errors.ts'

/** In the repository, where git ignores it. */
export const DEFAULT_FOLDER = fileURLToPath(new URL('../../.cache/local-model', import.meta.url))
export const INSTALL_COMMAND = 'npm run local-model:install'
/** package.json and package-lock.json: what is installed. */
export const MANIFESTS = fileURLToPath(new URL('install', import.meta.url))

const PACKAGE = 'node-llama-cpp'

export type Token = number

/** Of its API, as far as it is used here. */
export interface LlamaSequence {
  readonly nextTokenIndex: number
  adaptStateToTokens(tokens: Token[], allowShift: boolean): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: Token[]): Promise<void>
  evaluate(
    tokens: Token[],
    options: { temperature: number; topP: number; topK: number; minP: number; seed: number },
  ): AsyncIterable<Token>
}

export interface LlamaContext {
  readonly contextSize: number
  getSequence(): LlamaSequence
  dispose(): Promise<void>
}

export interface LlamaModel {
  readonly tokenizer: unknown
  readonly tokens: {
    readonly bos: Token | null
    readonly bosString: string | null
    readonly eosString: string | null
    readonly shouldPrependBosToken: boolean
  }
  readonly fileInfo: { readonly metadata: { readonly tokenizer?: { readonly chat_template?: string } } }
  tokenize(text: string, specialTokens: boolean): Token[]
  detokenize(tokens: Token[], specialTokens: boolean, lastTokens: Token[]): string
  createContext(options: {
    contextSize: number
    sequences: number
    threads: number
    swaFullCache: boolean
    createSignal?: AbortSignal
  }): Promise<LlamaContext>
  dispose(): Promise<void>
}

export interface Llama {
  loadModel(options: { modelPath: string; checkTensors: boolean; loadSignal?: AbortSignal }): Promise<LlamaModel>
  dispose(): Promise<void>
}

interface LlamaPackage {
  getLlama(options: {
    gpu: false | 'auto'
    build: 'never'
    skipDownload: true
    progressLogs: false
    debug: false
    maxThreads: number
    logLevel: 'error'
    logger: (level: string, message: string) => void
  }): Promise<Llama>
  LlamaText(parts: readonly unknown[]): { tokenize(tokenizer: unknown): Token[] }
  SpecialTokensText: new (text: string) => unknown
}

interface JinjaPackage {
  Template: new (source: string) => { render(values: Readonly<Record<string, unknown>>): string }
}

export interface OpenLlama extends Pick<LlamaPackage, 'LlamaText' | 'SpecialTokensText'>, JinjaPackage {
  readonly llama: Llama
  readonly version: string
  readonly threads: number
}

export interface OpenOptions {
  /** That the install command filled. */
  readonly folder?: string | undefined
  /** Half the cores if absent: with as many as cores, and other work beside it, they wait for each other most of the time. */
  readonly threads?: number | undefined
  /** What llama.cpp complains of. */
  readonly warn: (line: string) => void
}

/** @throws SetupError 'no-local-model' with the reason and the way out. */
export async function openLlama(options: OpenOptions): Promise<OpenLlama> {
  const { threads = Math.max(1, availableParallelism() >> 1), warn } = options
  const folder = resolve(options.folder ?? DEFAULT_FOLDER)
  const manifest = join(folder, 'node_modules', PACKAGE, 'package.json')
  const way = folder === DEFAULT_FOLDER ? INSTALL_COMMAND : `${INSTALL_COMMAND} -- --folder ${folder}`
  if (!existsSync(manifest)) {
    throw new SetupError('no-local-model', `${PACKAGE} is not installed in ${folder}. Run ${way}`)
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  const pinned = pinnedVersion()
  if (version !== pinned) {
    throw new SetupError('no-local-model', `${folder} has ${PACKAGE} ${version}, needed is ${pinned}. Run ${way}`)
  }
  try {
    const require = createRequire(manifest)
    const { getLlama, LlamaText, SpecialTokensText } = (await import(
      pathToFileURL(require.resolve(PACKAGE)).href
    )) as LlamaPackage
    const { Template } = require('@huggingface/jinja') as JinjaPackage
    const llama = await getLlama({
      gpu: process.platform === 'darwin' && process.arch === 'arm64' ? 'auto' : false,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      debug: false,
      maxThreads: threads,
      logLevel: 'error',
      logger: (_level, message) => warn(message.trimEnd()),
    })
    return { llama, version, threads, LlamaText, SpecialTokensText, Template }
  } catch (cause) {
    const reason = (cause as Error).message.split('\n')[0]
    const message = `${PACKAGE} ${version} cannot be loaded on ${process.platform} ${process.arch} (${reason}). Run ${way}, or use another endpoint`
    throw new SetupError('no-local-model', message, { cause })
  }
}

export function pinnedVersion(): string {
  const { dependencies } = JSON.parse(readFileSync(join(MANIFESTS, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return dependencies[PACKAGE]!
}
