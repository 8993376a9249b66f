import { onServices } from '../support/on-services.ts'
import { quickStart } from './quick-start.ts'

quickStart('Kafka, the registry and Redis', onServices)
