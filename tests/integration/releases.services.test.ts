import { onServices } from '../support/on-services.ts'
import { releaseTests } from './releases.ts'

releaseTests('the real engines', onServices)
