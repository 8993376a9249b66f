/** How descriptions are written, from the configuration: the model's endpoint with its budget and kept texts, and metrics. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { GenerationStore, TextGenerator } from '../ports/text-generator.ts'
import { createDescriber, type Describer, type DescriberSettings } from '../processors/describe-music/describer.ts'
import { defaultPool, type FewShotPool, readPool } from '../processors/describe-music/few-shot.ts'
import type { Config } from '../runtime/config.ts'
import { secret, TEXTS_KEPT_MS } from './backends.ts'

export interface Describing {
  readonly describer: Describer
  readonly pool: FewShotPool
  observe(described: { method: string; fallback: string; redone: boolean }): void
  close(): Promise<void>
}

/**
 * @param settings in place of the configuration's.
 * @throws SetupError 'bad-few-shot-pool' | 'bad-config'
 */
export async function openDescribing(
  config: Config,
  { texts, registry, now }: { texts: GenerationStore; registry: Registry; now: () => number },
  settings: Partial<DescriberSettings> = {},
): Promise<Describing> {
  const pool = config.llmPoolFile === undefined ? defaultPool() : await readPool(config.llmPoolFile)
  const metrics = createDescribingMetrics(registry)
  const method = settings.method ?? config.description
  const wantsModel = method === 'prompt2text' || config.llmCompress
  const generator = wantsModel ? await openGenerator(config, texts, metrics, now) : undefined
  const describer = createDescriber({
    method,
    seed: config.seed,
    generator,
    pool,
    pairs: config.llmPairs,
    pairChoice: config.llmPairChoice,
    compress: config.llmCompress,
    ...settings,
  })
  return {
    describer,
    pool,
    observe: ({ method: by, fallback, redone }) =>
      metrics.descriptions.inc({ method: by, fallback, redone: String(redone) }),
    close: async () => generator?.close(),
  }
}

/** The library behind it is loaded only where a model is asked for. */
async function openGenerator(
  config: Config,
  store: GenerationStore,
  metrics: DescribingMetrics,
  now: () => number,
): Promise<TextGenerator | undefined> {
  if (config.llmUrl === undefined || config.llmModel === undefined) return undefined
  const { openBudget } = await import('../adapters/llm/budget.ts')
  const { cachedGenerator } = await import('../adapters/llm/cached.ts')
  const { openEndpoint } = await import('../adapters/llm/endpoint.ts')
  await store.expire(now() - TEXTS_KEPT_MS)
  const budget = openBudget({
    store,
    capUsd: config.llmBudgetUsd,
    period: config.llmBudgetPeriod,
    usdPerMillionInput: config.llmUsdPerMillionInput,
    usdPerMillionOutput: config.llmUsdPerMillionOutput,
    now,
  })
  const generator = openEndpoint({
    url: config.llmUrl,
    model: config.llmModel,
    kind: config.llmKind,
    apiKey: await secret(config, 'llmApiKey'),
    temperature: config.llmTemperature,
    maxTokens: config.llmMaxTokens,
    concurrency: config.llmConcurrency,
    requestsPerMinute: config.llmRequestsPerMinute,
    timeoutMs: config.llmTimeoutMs,
    retries: config.llmRetries,
    promptsPerRequest: config.llmPromptsPerRequest,
    budget,
    observe: {
      request: (outcome, seconds) => metrics.requestSeconds.observe({ outcome }, seconds),
      usage: ({ inputTokens, outputTokens, usd }) => {
        metrics.tokens.inc({ direction: 'input' }, inputTokens)
        metrics.tokens.inc({ direction: 'output' }, outputTokens)
        metrics.spent.inc(usd)
      },
      open: (isOpen) => metrics.up.set(isOpen ? 1 : 0),
    },
  })
  const observe = { cache: (hit: boolean) => metrics.kept.inc({ hit: String(hit) }) }
  return cachedGenerator({ generator, store, maxTokens: config.llmMaxTokens, now, observe })
}

type DescribingMetrics = ReturnType<typeof createDescribingMetrics>

function createDescribingMetrics(registry: Registry) {
  const registers = [registry]
  return {
    descriptions: new Counter({
      name: 'cuestream_descriptions_total',
      help: 'Descriptions written, by the method that wrote them and why it was not the one asked for.',
      labelNames: ['method', 'fallback', 'redone'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'cuestream_llm_request_seconds',
      help: 'Requests to the language model, by outcome.',
      labelNames: ['outcome'],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    tokens: new Counter({
      name: 'cuestream_llm_tokens_total',
      help: 'Tokens of prompts and of answers.',
      labelNames: ['direction'],
      registers,
    }),
    spent: new Counter({
      name: 'cuestream_llm_spent_dollars_total',
      help: 'US dollars spent on the language model.',
      registers,
    }),
    kept: new Counter({
      name: 'cuestream_llm_kept_texts_total',
      help: 'Texts that were looked up among those kept, by whether they were there.',
      labelNames: ['hit'],
      registers,
    }),
    up: new Gauge({
      name: 'cuestream_llm_up',
      help: '1 while requests are let through to the language model, 0 after failures in a row.',
      registers,
    }),
  }
}
