/** OpenAPI 3.1 out of the routes' own schemas, at /openapi.json. */
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance, FastifySchema } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'

/** Request bodies that are documented here because the route reads them as a stream, beside the body it validates. */
export interface StreamedBodies {
  readonly [contentType: string]: z.ZodType
}

declare module 'fastify' {
  interface FastifyContextConfig {
    streamedBodies?: StreamedBodies
  }
}

type BodyContent = Record<string, { readonly schema: z.ZodType }>

export async function addOpenApi(app: FastifyInstance): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Cuestream',
        version: '1',
        description: 'Music for video, guided by language. Errors are RFC 9457 problem documents with a stable `code`.',
      },
    },
    transform(route) {
      const content = bodyContent(route.schema, route.route.config?.streamedBodies)
      if (content === undefined) return jsonSchemaTransform(route as Parameters<typeof jsonSchemaTransform>[0])
      const { body: _, ...schema } = route.schema
      const transformed = jsonSchemaTransform({ ...route, schema } as Parameters<typeof jsonSchemaTransform>[0])
      const body = {
        content: Object.fromEntries(
          Object.entries(content).map(([type, part]) => [type, { schema: jsonSchemaOf(part.schema) }]),
        ),
      }
      return { ...transformed, schema: { ...transformed.schema, body } }
    },
    transformObject: jsonSchemaTransformObject,
  })
  app.get('/openapi.json', { schema: { hide: true } as FastifySchema }, async () => app.swagger())
}

/** The body's schema by content type, where a route has more than one kind of body. */
function bodyContent(schema: FastifySchema | undefined, streamed: StreamedBodies = {}): BodyContent | undefined {
  const body = schema?.body as { content?: BodyContent } | undefined
  if (body?.content === undefined) return undefined
  const extra = Object.entries(streamed).map(([type, streamedSchema]) => [type, { schema: streamedSchema }])
  return { ...body.content, ...Object.fromEntries(extra) }
}

function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return rest
}
